import { type Cache, createCache } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { askAndLeave } from '../../scope/support/servers.ts'
import { type Answerer, ask } from '../../support/answering.ts'
import { caching } from '../../support/caching.ts'
import { until } from '../../support/until.ts'

/** A cache that waits before each load for {@link open}, as for a store over the network. */
function slowCache() {
  const cache = createCache() as unknown as Cache
  const gate = Promise.withResolvers<void>()
  let waiting = 0
  const getOrSet = (async (key, load, options) => {
    const loadLater: typeof load = async (ctx) => {
      waiting += 1
      await gate.promise
      return await load(ctx)
    }
    return cache.getOrSet(key, loadLater, options)
  }) as Cache['getOrSet']
  onTestFinished(() => cache.close())
  return { cache: { ...cache, getOrSet } as Cache, open: gate.resolve, waiting: () => waiting }
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

// `cache.http` has a cache of its own, and no response of Node that could be closed.
const frameworks = Object.entries(caching).filter(([name]) => name !== 'cache.http')

describe.each(frameworks)('on %s, a client that leaves before the handler runs', (_name, start) => {
  it.each(answers)('holds up no other client, of an answer %s', async (what, answer) => {
    const { cache, open, waiting } = slowCache()
    const { port, close } = await start(cache, answer)
    onTestFinished(close)
    const left = askAndLeave(
      `http://127.0.0.1:${port}`,
      until(() => waiting() === 1),
    )
    await until(() => waiting() === 1)
    const staying = ask(port)
    await left
    // The server hears of it before it has answered another connection.
    await ask(port, { method: 'POST' })
    open()
    const { status, body } = await staying
    expect([status, String(body)]).toEqual([200, what])
  })
})
