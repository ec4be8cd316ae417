import { Readable } from 'node:stream'
import zlib from 'node:zlib'
import fc from 'fast-check'
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type onSendAsyncHookHandler,
  type onSendHookHandler,
  type RouteOptions,
} from 'fastify'
import { createCache } from 'posthaste'
import { cacheResponses, compressResponses, freshness } from 'posthaste/fastify'
import { expect, it, onTestFinished } from 'vitest'

type Handler = (reply: FastifyReply) => unknown
type Hook = onSendAsyncHookHandler

const long = 'All work and no play makes Jack a dull boy. '.repeat(60)

const handlers: Readonly<Record<string, Handler>> = {
  object: () => ({ long }),
  'short object': () => ({ a: 1 }),
  text: (reply) => reply.type('text/plain').send(long),
  'text without a type': (reply) => reply.send('short'),
  bytes: (reply) => reply.type('text/css').send(Buffer.from(long)),
  'bytes without a type': (reply) => reply.send(Buffer.from('short')),
  stream: (reply) => reply.type('text/html').send(Readable.from([long, long])),
  'stream without a type': (reply) => reply.send(Readable.from([Buffer.from('short')])),
  response: () => new Response(long, { headers: { 'content-type': 'text/html', 'x-of': 'response' } }),
  nothing: (reply) => reply.send(),
  redirect: (reply) => reply.redirect('/elsewhere', 308),
  private: (reply) => reply.header('cache-control', 'private').send({ long }),
  failure: (reply) => reply.code(503).send({ error: 'down' }),
}

async function* prefixed(payload: AsyncIterable<Uint8Array>) {
  yield Buffer.from(')]}\n')
  yield* payload
}

const hooks: Readonly<Record<string, Hook>> = {
  'removes a header': async (_request, reply) => void reply.removeHeader('x-internal'),
  'rewrites a header': async (_request, reply) => {
    if (reply.getHeader('cache-control') === 'max-age=300') reply.header('cache-control', 'max-age=30')
  },
  'adds to a header': async (_request, reply) => void reply.header('x-list', `${reply.getHeader('x-list') ?? ''}+`),
  'tells what it sees': async (_request, reply, payload) => {
    const kind = payload === null || payload === undefined ? 'none' : typeof (payload as Readable).pipe
    const form = typeof payload === 'string' ? 'text' : Buffer.isBuffer(payload) ? 'bytes' : kind
    reply.header('x-seen', `${reply.statusCode} ${form} ${reply.getHeader('content-type')}`)
  },
  'puts something in front': async (_request, _reply, payload) => {
    if (typeof payload === 'string') return `)]}\n${payload}`
    if (Buffer.isBuffer(payload)) return Buffer.concat([Buffer.from(')]}\n'), payload])
    return payload instanceof Readable ? Readable.from(prefixed(payload)) : payload
  },
  'reads the JSON': async (_request, reply, payload) => {
    if (typeof payload === 'string' && payload.startsWith('{')) reply.header('x-keys', Object.keys(JSON.parse(payload)))
  },
  'sets a cookie': async (_request, reply) => void reply.header('set-cookie', 'seen=1'),
  'sets a type': async (_request, reply) => void reply.type('text/x-own'),
  'sets a status': async (_request, reply) => void reply.code(203),
  'empties it': async (_request, _reply, payload) => {
    if (payload instanceof Readable) payload.resume()
    return ''
  },
  fails: async () => {
    throw new Error('of a hook')
  },
}

interface Program {
  readonly handler: string
  /** Each with the place where it is added. */
  readonly hooks: readonly (readonly [hook: string, place: 'before' | 'after' | 'child' | 'route'])[]
  readonly hasPreSerialization: boolean
  readonly isCompressed: boolean
  readonly coding: string
  readonly method: 'GET' | 'HEAD'
  /** Whether a tracer wraps the hooks of each route, and adds one. */
  readonly isTraced?: boolean
}

const programs: fc.Arbitrary<Program> = fc.record({
  handler: fc.constantFrom(...Object.keys(handlers)),
  hooks: fc.array(
    fc.tuple(
      fc.constantFrom(...Object.keys(hooks)),
      fc.constantFrom('before' as const, 'after' as const, 'child' as const, 'route' as const),
    ),
    { maxLength: 3 },
  ),
  hasPreSerialization: fc.boolean(),
  isCompressed: fc.boolean(),
  coding: fc.constantFrom('identity', 'gzip'),
  method: fc.constantFrom('GET', 'GET', 'HEAD'),
  isTraced: fc.boolean(),
})

/** Does to a route what `@fastify/otel` and Sentry do. */
function traceRoute(route: RouteOptions): void {
  const traced = [route.onSend ?? []].flat().map(
    (hook): onSendHookHandler =>
      function (...args) {
        return hook.apply(this, args)
      },
  )
  route.onSend = [...traced, async () => {}]
}

async function build(program: Program, isCached: boolean): Promise<FastifyInstance> {
  const app = fastify()
  if (program.isTraced) app.addHook('onRoute', traceRoute)
  const add = (target: FastifyInstance, at: string) => {
    for (const [hook, place] of program.hooks) if (place === at) target.addHook('onSend', hooks[hook] as Hook)
  }
  add(app, 'before')
  const cache = createCache()
  app.addHook('onClose', () => cache.close())
  if (program.isCompressed) await app.register(compressResponses, {})
  if (isCached) await app.register(cacheResponses, { cache })
  add(app, 'after')
  if (program.hasPreSerialization) {
    app.addHook('preSerialization', async (_request, reply, payload) => {
      reply.header('x-wrapped', '1')
      return { wrapped: payload }
    })
  }
  await app.register(async (child) => {
    add(child, 'child')
    const onSend = program.hooks.filter(([, place]) => place === 'route').map(([hook]) => hooks[hook] as Hook)
    child.get('/', { onSend, config: isCached ? { cache: {} } : {} }, (_request, reply) => {
      reply.header('x-internal', 'db-7').header('cache-control', 'max-age=300').header('x-list', 'a')
      const sent = (handlers[program.handler] as Handler)(reply)
      return sent === reply ? reply : reply.send(sent)
    })
  })
  return app
}

/** What the cache and the compression may change. */
const ownHeaders: ReadonlySet<string> = new Set([
  ...['date', 'etag', 'vary', 'content-encoding', 'content-length', 'transfer-encoding', 'age', 'cache-status'],
  'connection',
])

async function ask(app: FastifyInstance, { coding }: Program, method: 'GET' | 'HEAD') {
  const { statusCode, headers, rawPayload } = await app.inject({
    url: '/',
    method,
    headers: { host: 'a.example', 'accept-encoding': coding },
  })
  const isEncoded = headers['content-encoding'] === 'gzip' && rawPayload.length > 0
  return {
    answer: {
      statusCode,
      headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !ownHeaders.has(name))),
      body: (isEncoded ? zlib.gunzipSync(rawPayload) : rawPayload).toString(),
    },
    headers,
  }
}

it('a hit and a miss on Fastify are what the client gets without the cache, whatever hooks there are', async () => {
  let hits = 0
  await fc.assert(
    fc.asyncProperty(programs, async (program) => {
      // Of an answer that does not come from the cache, hooks after the compression see the encoded body.
      const plain = await build({ ...program, isCompressed: false }, false)
      const isCompressed = program.isCompressed && !['private', 'failure'].includes(program.handler)
      const cached = await build({ ...program, isCompressed }, true)
      // Fastify sets the head of a `Response` after the hooks, and fails to answer HEAD with it.
      const isAsPlain = program.handler !== 'response' || program.hooks.length === 0
      const first = (await ask(cached, program, 'GET')).answer
      const second = program.handler === 'response' ? 'GET' : program.method
      for (const method of ['GET', second, 'GET'] as const) {
        const { answer, headers } = await ask(cached, program, method)
        const expected = isAsPlain ? (await ask(plain, program, method)).answer : first
        expect(answer).toEqual(expected)
        if (headers['cache-status'] === 'posthaste; hit') hits++
      }
      if (isAsPlain) expect(first).toEqual((await ask(plain, program, 'GET')).answer)
      await plain.close()
      await cached.close()
    }),
    { numRuns: Number(process.env.RUNS ?? 150), seed: Number(process.env.SEED ?? 20_26) },
  )
  expect(hits).toBeGreaterThan(50)
}, 600_000)

it('answers 304 on Fastify where hooks leave the body alone, and the whole body where they change it', async () => {
  for (const [hook, status] of [
    ['tells what it sees', 304],
    ['puts something in front', 200],
  ] as const) {
    const program = { handler: 'object', hooks: [[hook, 'after']], coding: 'gzip', method: 'GET' } as const
    const app = await build({ ...program, hasPreSerialization: false, isCompressed: true }, true)
    const { headers } = await app.inject({ url: '/', headers: { 'accept-encoding': 'gzip' } })
    const tag = headers.etag ?? '*'
    const again = await app.inject({ url: '/', headers: { 'accept-encoding': 'gzip', 'if-none-match': String(tag) } })
    expect([hook, again.statusCode]).toEqual([hook, status])
    expect(again.headers['cache-status']).toBe('posthaste; hit')
    if (status === 304) expect(again.headers).not.toHaveProperty('content-type')
    await app.close()
  }
})

it.each(['identity', 'gzip'])(
  'answers HEAD as GET on Fastify where a tracer wraps the hooks of routes: %s',
  async (coding) => {
    const app = fastify()
    const cache = createCache()
    onTestFinished(async () => {
      await app.close()
      await cache.close()
    })
    app.addHook('onRoute', traceRoute)
    await app.register(compressResponses, {})
    await app.register(cacheResponses, { cache })
    await app.register(freshness, { cache })
    app.get('/cached', { config: { cache: {} } }, async () => long)
    app.get('/both', { config: { cache: { tags: ['a'] }, freshness: { tags: ['a'] } } }, async () => long)
    for (const url of ['/cached', '/both']) {
      const answerTo = async (method: 'GET' | 'HEAD') => {
        const { headers } = await app.inject({ url, method, headers: { host: 'a.example', 'accept-encoding': coding } })
        return [headers.etag, headers['content-length'], headers['content-encoding'], headers['cache-status']]
      }
      await answerTo('GET')
      const answer = await answerTo('GET')
      expect(answer).toEqual([
        expect.any(String),
        expect.any(String),
        coding === 'gzip' ? 'gzip' : undefined,
        'posthaste; hit',
      ])
      expect(await answerTo('HEAD')).toEqual(answer)
    }
  },
)

it('says on Fastify that it missed where Fastify refuses the payload', async () => {
  const cache = createCache()
  const app = fastify()
  onTestFinished(async () => {
    await app.close()
    await cache.close()
  })
  await app.register(cacheResponses, { cache })
  app.get('/', { config: { cache: {} } }, (_request, reply) => {
    reply.serializer((value: unknown) => value as string).send({ a: 1 })
  })
  const { statusCode, headers } = await app.inject('/')
  expect([statusCode, headers['cache-status']]).toEqual([500, 'posthaste; fwd=miss'])
})
