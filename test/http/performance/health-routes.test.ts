import { request as send } from 'node:http'
import fastify from 'fastify'
import { PerformanceMonitor } from 'posthaste'
import * as onFastify from 'posthaste/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { frameworks, type RoutesOptions } from '../../support/frameworks.ts'

const probes = ['/health', '/health/live', '/health/ready', '/health/startup']
const token = 'the text of an error that only the log may show'

const badRules: ReadonlyArray<readonly [what: string, authorize: () => boolean | Promise<boolean>]> = [
  [
    'throws',
    () => {
      throw new Error(token)
    },
  ],
  [
    'throws a text',
    () => {
      throw token
    },
  ],
  ['rejects', () => Promise.reject(new Error(token))],
  ['rejects with nothing', () => Promise.reject(undefined)],
  ['hangs', () => new Promise(() => {})],
  ['throws later', () => new Promise((_, reject) => setTimeout(reject, 40, new Error(token)))],
]

const badChecks: ReadonlyArray<readonly [what: string, run: () => unknown]> = [
  ['throws', badRules[0]![1]],
  ['hangs', () => new Promise(() => {})],
]

describe.each(Object.entries(frameworks))('the health of a server on %s', (_name, start) => {
  async function setUp(authorize?: () => boolean | Promise<boolean>) {
    const warnings: string[] = []
    const onWarn = ({ message }: { message: string }) => warnings.push(message)
    const monitor = new PerformanceMonitor({ sampleInterval: false, onWarn })
    const server = await start(monitor, { authorize } as unknown as RoutesOptions)
    onTestFinished(async () => {
      await server.close()
      await monitor.close()
    })
    const ask = (path: string, method = 'GET') => fetch(server.url + path, { method })
    return { monitor, server, ask, warnings }
  }

  it.each(badRules)('is answered when `authorize` %s', async (_what, authorize) => {
    const { monitor, ask, warnings } = await setUp(authorize)
    monitor.markStarted()
    monitor.check('one', () => {})
    for (const path of probes) {
      const response = await ask(path)
      expect([path, response.status, await response.json()]).toEqual([path, 200, { status: 'pass' }])
    }
    expect(warnings.filter((message) => message.startsWith('Everybody'))).toEqual([])
  })

  it.each(badChecks)('is answered when checks and `authorize` do: %s', async (_what, run) => {
    const { monitor, ask } = await setUp(() => new Promise(() => {}))
    monitor.check('one', run, { timeout: '1h' })
    const answers = await Promise.all(probes.map(async (path) => (await ask(path)).status))
    expect(answers).toEqual([503, 200, 503, 503])
  })

  it.each(badRules.slice(0, 4))('gives no statistics away when `authorize` %s', async (_what, authorize) => {
    const { ask, warnings } = await setUp(authorize)
    for (const path of ['/performance', '/performance/stats', '/performance/metrics', '/performance/stream']) {
      const response = await ask(path)
      expect([path, response.status]).toEqual([path, 403])
      expect(await response.text()).not.toContain(token)
    }
    expect(warnings).toEqual([expect.stringContaining('`authorize` failed')])
  })

  it('is found with a slash at the end too, and has no other method', async () => {
    const { ask } = await setUp(() => true)
    for (const path of ['/health/', '/health/live/', '/performance/', '/performance/stats/']) {
      expect([path, (await ask(path)).status]).toEqual([path, 200])
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      for (const path of ['/health', '/health/', '/performance/metrics', '/performance']) {
        const response = await ask(path, method)
        expect([method, path, response.status]).toEqual([method, path, 405])
        expect(response.headers.get('allow')).toBe('GET, HEAD')
      }
    }
  })

  it('says `Connection: close` on each response while it drains, and on none before', async () => {
    const { monitor, server } = await setUp()
    const connectionOf = (path: string) =>
      new Promise((resolve, reject) => {
        const headers = { connection: 'keep-alive' }
        const request = send({ host: '127.0.0.1', port: server.port, path, agent: false, headers }, (response) => {
          response.resume()
          resolve(response.headers.connection)
        })
        request.on('error', reject).end()
      })
    for (const path of ['/health/ready', '/users/1', '/performance/metrics', '/performance', '/nowhere']) {
      expect([path, await connectionOf(path)]).toEqual([path, 'keep-alive'])
    }
    monitor.drain()
    for (const path of ['/health/ready', '/users/1', '/performance/metrics', '/performance', '/nowhere']) {
      expect([path, await connectionOf(path)]).toEqual([path, 'close'])
    }
  })
})

it('adds the paths with a slash to Fastify only where they are not the same already', async () => {
  const monitor = new PerformanceMonitor({ sampleInterval: false, onWarn: () => {} })
  const app = fastify({ routerOptions: { ignoreTrailingSlash: true } })
  await app.register(onFastify.performanceRoutes, { monitor })
  for (const url of ['/health', '/health/', '/performance/stats/']) {
    expect((await app.inject({ url })).statusCode, url).toBe(200)
  }
  await app.close()
  await monitor.close()
})
