import { type MonitorOptions, PerformanceMonitor } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { HttpAnswer } from '../../../src/http/answer.ts'
import {
  createPerformanceRoutes,
  type PerformanceRoutesOptions,
} from '../../../src/http/performance/performance-routes.ts'

const loadPage = () => import('../../../src/dashboard/page.ts')

interface Asked {
  readonly headers?: Readonly<Record<string, string>>
  readonly original?: unknown
}

type Ask = (url: string, asked?: Asked) => Promise<HttpAnswer>

function setUp(
  options: PerformanceRoutesOptions<never> = {},
  env: Readonly<Record<string, string>> = {},
  monitorOptions: MonitorOptions = {},
) {
  const warnings: string[] = []
  const onWarn = ({ code, message }: { code: string; message: string }) => warnings.push(`${code}: ${message}`)
  const monitor = new PerformanceMonitor({ sampleInterval: false, onWarn, ...monitorOptions })
  onTestFinished(() => monitor.close())
  const routes = createPerformanceRoutes(monitor, options, loadPage, env)
  const ask: Ask = (url, { headers = {}, original } = {}) => {
    const { pathname: path, searchParams: query } = new URL(url, 'http://localhost')
    const handle = routes.get(path) as NonNullable<ReturnType<typeof routes.get>>
    return handle({ method: 'GET', path, query, header: (name) => headers[name], original })
  }
  return { monitor, routes, ask, warnings }
}

async function textOf({ body }: HttpAnswer): Promise<string> {
  return typeof body === 'string' ? body : (await Array.fromAsync(body)).join('')
}

const bearer = (token: string): Asked => ({ headers: { authorization: `Bearer ${token}` } })

describe('who may see the statistics', () => {
  it('is everybody, without a rule and outside of production', async () => {
    for (const env of [
      {},
      { NODE_ENV: 'development' },
      { PERFORMANCE_STATS_TOKEN: '' },
      { PERFORMANCE_STATS_TOKEN: ' \n' },
    ] as Record<string, string>[]) {
      expect((await setUp({}, env).ask('/performance/stats')).status).toBe(200)
    }
  })

  it('is nobody in production without a rule, which is said once', async () => {
    const { ask, warnings } = setUp({}, { NODE_ENV: 'production' })
    for (const path of ['/performance', '/performance/stats', '/performance/metrics', '/performance/stream']) {
      expect((await ask(path)).status, path).toBe(404)
    }
    expect(warnings).toEqual([
      'PERFORMANCE_ROUTES_CLOSED: The performance routes answer 404 in production until `authorize` or PERFORMANCE_STATS_TOKEN is set',
    ])
    const { status, body } = await ask('/health')
    expect([status, JSON.parse(body as string)]).toEqual([200, { status: 'pass' }])
  })

  it.each(['production', ' Production\n', 'PRODUCTION', 'prod', 'Prod '])(
    'is nobody with NODE_ENV=%j',
    async (value) => {
      expect((await setUp({}, { NODE_ENV: value }).ask('/performance/stats')).status).toBe(404)
    },
  )

  it('is said once where it is everybody without a rule, and not where a rule or a token decides', async () => {
    const { ask, warnings } = setUp({}, { NODE_ENV: 'staging' })
    for (const path of ['/performance/stats', '/performance/metrics', '/performance/stats']) await ask(path)
    expect(warnings).toEqual([expect.stringContaining('PERFORMANCE_ROUTES_OPEN: Everybody may see')])
    for (const { ask, warnings } of [
      setUp({ authorize: 'public' }),
      setUp({ authorize: { bearer: 'x' } }),
      setUp({}, { PERFORMANCE_STATS_TOKEN: 'x' }),
    ]) {
      await ask('/performance/stats')
      expect(warnings).toEqual([])
    }
  })

  it('is everybody in production when the rule says so', async () => {
    const { ask } = setUp({ authorize: 'public' }, { NODE_ENV: 'production' })
    expect((await ask('/performance/stats')).status).toBe(200)
  })

  it('is who sends the token of the environment, unless there is a rule', async () => {
    const env = { NODE_ENV: 'production', PERFORMANCE_STATS_TOKEN: 'of-the-environment' }
    const { ask } = setUp({}, env)
    expect((await ask('/performance/stats')).status).toBe(401)
    expect((await ask('/performance/stats', bearer('of-the-environment'))).status).toBe(200)
    const { ask: askWithRule } = setUp({ authorize: { bearer: 'of-the-rule' } }, env)
    expect((await askWithRule('/performance/stats', bearer('of-the-environment'))).status).toBe(401)
    expect((await askWithRule('/performance/stats', bearer('of-the-rule'))).status).toBe(200)
  })

  it.each(['secret\n', ' secret \r\n'])('is who sends the token that was read from a file, as %j', async (token) => {
    for (const { ask } of [setUp({ authorize: { bearer: token } }), setUp({}, { PERFORMANCE_STATS_TOKEN: token })]) {
      expect((await ask('/performance/stats', bearer('secret'))).status).toBe(200)
      expect((await ask('/performance/stats', bearer('secre'))).status).toBe(401)
      const login = Buffer.from('me:secret').toString('base64')
      expect((await ask('/performance', { headers: { authorization: `Basic ${login}` } })).status).toBe(200)
    }
  })

  it('is who sends a token that is no ASCII, as UTF-8 or Latin-1', async () => {
    const { ask } = setUp({ authorize: { bearer: 'schlüssel' } })
    // As Node reads the bytes of the header.
    const inUtf8 = Buffer.from('schlüssel').toString('latin1')
    for (const token of ['schlüssel', inUtf8]) expect((await ask('/performance/stats', bearer(token))).status).toBe(200)
    expect((await ask('/performance/stats', bearer('schl?ssel'))).status).toBe(401)
  })

  it('is whom the function lets in, and nobody for an answer that is not `true`', async () => {
    const { ask } = setUp({ authorize: async ({ isAdmin }: { isAdmin: boolean }) => isAdmin })
    expect((await ask('/performance/stats', { original: { isAdmin: true } })).status).toBe(200)
    for (const isAdmin of [false, undefined, 1, 'yes']) {
      expect((await ask('/performance/stats', { original: { isAdmin } })).status, String(isAdmin)).toBe(403)
    }
  })

  it('is nobody when the function throws', async () => {
    const { ask } = setUp({
      authorize: () => {
        throw new Error('no session')
      },
    })
    const { status, body } = await ask('/performance/stats')
    expect([status, JSON.parse(body as string).detail]).toEqual([403, 'Not allowed'])
  })

  it.each<[what: string, authorize: unknown]>([
    ['an empty token', { bearer: '' }],
    ['a blank token', { bearer: ' \n' }],
    ['a token that is no text', { bearer: 1 }],
    ['another word', 'private'],
  ])('refuses %s as the rule', (_what, authorize) => {
    expect(() => setUp({ authorize: authorize as 'public' })).toThrow('Expected `authorize` to be')
  })
})

describe('the statistics', () => {
  it('are in the formats of Prometheus and HdrHistogram as well', async () => {
    const { monitor, ask } = setUp()
    monitor.record('GET', '/users/:id', 200, monitor.start())
    const prometheus = await ask('/performance/stats?format=prometheus')
    expect(prometheus.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await textOf(prometheus)).toContain('http_route="/users/:id"')
    const hdr = await ask('/performance/stats?format=hdr&method=get&route=/users/:id')
    expect(hdr).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/plain; charset=utf-8' },
      body: await monitor.toHdr('GET', '/users/:id'),
    })
    expect(hdr.body).not.toBe('')
    expect((await ask('/performance/stats?format=hdr&route=/users/:id')).status).toBe(400)
  })

  it('are of the endpoints and the instances that the parameters name', async () => {
    const { monitor, ask } = setUp()
    for (const route of ['/a', '/b', '/b']) monitor.record('GET', route, 200, monitor.start())
    const read = async (query: string) =>
      JSON.parse((await ask(`/performance/stats?${query}`)).body as string) as {
        scope: string
        endpoints: { route: string }[]
      }
    const routesOf = async (query: string) => (await read(query)).endpoints.map(({ route }) => route)
    expect(await routesOf('sort=count')).toEqual(['/b', '/a'])
    expect(await routesOf('sort=count&limit=1')).toEqual(['/b'])
    expect(await routesOf('route=/a&method=get')).toEqual(['/a'])
    expect((await read('scope=fleet')).scope).toBe('fleet')
  })

  it('have no metrics of a fleet that cannot be read, because wrong counters would count as a restart', async () => {
    const refuse = () => Promise.reject(new Error('gone'))
    const fleet = { intervalMs: 10_000, publish: refuse, collect: refuse, remove: refuse, close: async () => {} }
    const { monitor, ask, warnings } = setUp({}, {}, { fleet })
    const { status, headers, body } = await ask('/performance/metrics?scope=fleet')
    expect([status, headers['content-type'], JSON.parse(body as string).detail]).toEqual([
      503,
      'application/problem+json',
      'The fleet cannot be read',
    ])
    expect(warnings).toContain('MONITOR_FLEET: The fleet cannot be reached: gone')
    expect(await Array.fromAsync(monitor.prometheus({ scope: 'fleet' }))).toEqual([])
    expect((await ask('/performance/metrics')).status).toBe(200)
    expect((await ask('/performance/stats?scope=fleet')).status).toBe(200)
  })

  it('name all that is wrong with the parameters', async () => {
    const { status, body } = await setUp().ask('/performance/stats?sort=fastest&limit=0')
    expect([status, JSON.parse(body as string).detail]).toEqual([
      400,
      '`sort` must be one of p95, count, total, errors; `limit` must be a whole number from 1 up',
    ])
  })

  it.each(['route', 'method'])('are not those of an empty `%s`', async (name) => {
    for (const query of [name, `${name}=`, `format=hdr&route=&method=&${name}=`]) {
      const { status, body } = await setUp().ask(`/performance/stats?${query}`)
      expect([status, JSON.parse(body as string).detail], query).toEqual([
        400,
        expect.stringContaining(`\`${name}\` must not be empty`),
      ])
    }
  })
})

describe('the paths', () => {
  it('may begin at the root', async () => {
    const { ask } = setUp({ path: '/' })
    expect((await ask('/')).headers['content-type']).toBe('text/html; charset=utf-8')
    expect((await ask('/stats')).status).toBe(200)
    const { ask: askHealth } = setUp({ health: '/' })
    for (const path of ['/', '/live']) expect(JSON.parse((await askHealth(path)).body as string).status).toBe('pass')
  })

  it.each<[option: string, options: object]>([
    ['path', { path: 'performance' }],
    ['path', { path: 1 }],
    ['health', { health: 'health' }],
    ['health', { health: true }],
    ['casing', { casing: 'kebab' }],
  ])('refuse a wrong `%s`', (option, options) => {
    expect(() => setUp(options)).toThrow(`\`${option}\``)
  })
})

it.each<[what: string, thrown: unknown]>([
  ['an error', new Error('no statistics')],
  ['something else', 'no statistics'],
])('ends the stream of the live page, and says why, when reading throws %s', async (_what, thrown) => {
  let isBroken = false
  const clock = () => {
    if (isBroken) throw thrown
    return Date.now()
  }
  const { ask, warnings } = setUp({ authorize: 'public' }, {}, { clock })
  isBroken = true
  const { status, body } = await ask('/performance/stream')
  expect([status, await Array.fromAsync(body as AsyncIterable<string>)]).toEqual([200, []])
  expect(warnings).toEqual(['DASHBOARD_STREAM: The live page could not be updated: no statistics'])
})
