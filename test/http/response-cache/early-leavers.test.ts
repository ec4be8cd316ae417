import { DatabaseSync } from 'node:sqlite'
import { SqliteDialect } from 'kysely'
import { type Cache, createCache, instrument, nodeSqlite, PerformanceMonitor } from 'posthaste'
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
