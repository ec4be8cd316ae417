import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { Hono } from 'hono'
import { SqliteDialect } from 'kysely'
import { type Cache, createCache, instrument, nodeSqlite, PerformanceMonitor } from 'posthaste'
import { cacheResponses } from 'posthaste/hono'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { askAndLeave } from '../../scope/support/servers.ts'
import { type Answerer, ask } from '../../support/answering.ts'
import { cachingOnNode } from '../../support/caching.ts'
import { until } from '../../support/until.ts'

/** A cache that waits before each load for {@link open}, as for a store over the network. */
function slowCache() {
  // A client that nobody answers waits longer than the test.
  const cache = createCache({ timeouts: { loadHard: '1h' } }) as unknown as Cache
  const gate = Promise.withResolvers<void>()
  let asked = 0
  const getOrSet = (async (key, load, options) => {
    asked += 1
    const loadLater: typeof load = async (ctx) => {
      await gate.promise
      return await load(ctx)
    }
    return cache.getOrSet(key, loadLater, options)
  }) as Cache['getOrSet']
  onTestFinished(() => cache.close())
  return { cache: { ...cache, getOrSet } as Cache, open: gate.resolve, asked: () => asked }
}

const answers: readonly [what: string, answer: Answerer][] = [
  ['in one piece', () => ({ body: 'in one piece' })],
  [
    'in pieces',
    () => ({
      async *pieces() {
        yield 'in '
        yield 'pieces'
      },
    }),
  ],
]

describe.each(cachingOnNode)('on %s, a client that leaves before the handler runs', (_name, start) => {
  it.each(answers)('holds up no other client, of an answer %s', async (what, answer) => {
    const { cache, open, asked } = slowCache()
    const { port, close } = await start(cache, answer)
    onTestFinished(close)
    await leave(port, what, { open, asked })
  })

  it.each(answers)(
    'runs no handler where requests are abandoned, nor holds up others, of an answer %s',
    async (what, answer) => {
      const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
      instrument({ dialect }, { abandon: 'cancel' })
      const { cache, open, asked } = slowCache()
      const monitor = new PerformanceMonitor({ sampleInterval: false })
      const runs = vi.fn(answer)
      const { port, close } = await start(cache, runs, {}, { monitor })
      onTestFinished(async () => {
        await close()
        await monitor.close()
      })
      await leave(port, what, { open, asked })
      expect(runs.mock.calls.map(([request]) => request.method)).toEqual(['POST', 'GET'])
    },
  )
})

/** Handlers of fetch-style servers learn by the signal of the request that the client has left. */
type Body = ConstructorParameters<typeof Response>[0]
type FetchHandler = (request: Request) => Promise<Response>
const fetchServers: readonly [name: string, cached: (cache: Cache, handler: FetchHandler) => FetchHandler][] = [
  ['Hono', (cache, handler) => fetchOf(new Hono().get('/', cacheResponses(cache), (c) => handler(c.req.raw)))],
  ['cache.http', (cache, handler) => cache.http(handler)],
]

function fetchOf(app: Hono): FetchHandler {
  return async (request) => app.fetch(request)
}

describe.each(fetchServers)('on %s, a handler that gives less once its client has left', (_name, cached) => {
  it.each<[what: string, headers: Record<string, string>, respond: (parts: Promise<string>) => Body | Promise<Body>]>([
    ['in one piece', {}, (parts) => parts],
    ['in one piece, to a conditional request', { 'if-none-match': '"old"' }, (parts) => parts],
    ['in pieces', {}, (parts) => ReadableStream.from(piecesOf(parts)) as Body],
  ])('gives it to no other client, %s', async (_what, headers, respond) => {
    const cache = createCache()
    const asked: Request[] = []
    const handler = cached(cache as unknown as Cache, async (request) => {
      asked.push(request)
      const { signal } = request
      const rest = asked.length === 1 ? once(signal, 'abort').then(() => '') : Promise.resolve('whole')
      return new Response(await respond(rest), { headers: { 'content-type': 'text/plain' } })
    })
    const leaving = new AbortController()
    const left = handler(new Request('http://server/', { headers, signal: leaving.signal })).then((answer) =>
      answer.text(),
    )
    await until(() => asked.length === 1)
    const waiting = handler(new Request('http://server/'))
    leaving.abort()
    await left
    const later = await handler(new Request('http://server/'))
    expect([await (await waiting).text(), await later.text()]).toEqual(['whole', 'whole'])
    await cache.close()
  })
})

async function* piecesOf(parts: Promise<string>) {
  yield Buffer.from(await parts)
}

/** One client leaves while it waits for the store, one stays. */
async function leave(
  port: number,
  what: string,
  { open, asked }: Pick<ReturnType<typeof slowCache>, 'open' | 'asked'>,
) {
  const left = askAndLeave(
    `http://127.0.0.1:${port}`,
    until(() => asked() === 2),
  )
  await until(() => asked() === 1)
  const staying = ask(port)
  await left
  // The server hears of it before it has answered another connection.
  await ask(port, { method: 'POST' })
  open()
  const { status, body } = await staying
  expect([status, String(body)]).toEqual([200, what])
}
