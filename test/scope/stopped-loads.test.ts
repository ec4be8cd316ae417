import { setTimeout as sleep } from 'node:timers/promises'
import { type Cache, createCache, requestScope, withQueryScope } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'

const left = new Error('left')

/** The work of a request that can be abandoned. */
function request<Value>(work: () => Promise<Value>) {
  const client = new AbortController()
  const answer = withQueryScope('GET /', work, { signal: client.signal })
  answer.catch(() => {})
  return { answer, leave: () => client.abort(left) }
}

describe('a load that uses `requestScope().signal`', () => {
  function open() {
    const cache = createCache() as unknown as Cache
    onTestFinished(() => cache.close())
    const started = Promise.withResolvers<void>()
    let loads = 0
    /** Waits as `fetch` does; the first load until it is stopped. */
    const load = async () => {
      loads += 1
      const isFirst = loads === 1
      started.resolve()
      const signal = requestScope()?.signal
      await sleep(isFirst ? 60_000 : 0, undefined, { signal }).catch((error) => {
        throw signal?.aborted ? signal.reason : error
      })
      return `load ${loads}`
    }
    return { cache, load, started: started.promise }
  }

  it('ends with the request that began it, and the others that wait load for themselves, once', async () => {
    const { cache, load, started } = open()
    const first = request(() => cache.getOrSet('key', load))
    await started
    const others = [1, 2, 3].map(() => request(() => cache.getOrSet('key', load)))
    const outside = cache.getOrSet('key', load)
    first.leave()

    await expect(first.answer).rejects.toBe(left)
    expect(await Promise.all([...others.map(({ answer }) => answer), outside])).toEqual(Array(4).fill('load 2'))
    expect(await cache.get('key')).toBe('load 2')
  })

  it('ends all callers of the request that began it', async () => {
    const { cache, load, started } = open()
    const first = request(() => Promise.allSettled([cache.getOrSet('key', load), cache.getOrSet('key', load)]))
    await started
    first.leave()

    expect(await first.answer).toEqual(Array(2).fill({ status: 'rejected', reason: left }))
    expect(cache.stats().loads).toBe(1)
  })

  it('is not repeated for another that has left too', async () => {
    const { cache, load, started } = open()
    const first = request(() => cache.getOrSet('key', load))
    await started
    const leaving = new AbortController()
    const other = cache.getOrSet('key', load, { signal: leaving.signal })
    leaving.abort()
    first.leave()

    await expect(other).rejects.toBe(leaving.signal.reason)
    await expect(first.answer).rejects.toBe(left)
    expect(cache.stats().loads).toBe(1)
  })

  it('gives an error of its own to all that wait, although its request has left', async () => {
    const { cache } = open()
    const [started, failing] = [Promise.withResolvers<void>(), Promise.withResolvers<never>()]
    const load = () => {
      started.resolve()
      return failing.promise
    }
    const first = request(() => cache.getOrSet('key', load))
    await started.promise
    const other = request(() => cache.getOrSet('key', load))
    first.leave()
    failing.reject(new Error('no such city'))

    await expect(other.answer).rejects.toThrow('no such city')
    expect(cache.stats().loads).toBe(1)
  })

  it('or the signal of its caller, ends with that caller, and another loads for itself', async () => {
    const { cache } = open()
    const leaving = new AbortController()
    const { signal } = leaving
    const first = cache.getOrSet('key', () => sleep(60_000, 'slow', { signal }), { signal })
    const second = cache.getOrSet('key', () => 'quick')
    leaving.abort(left)

    await expect(first).rejects.toBe(left)
    expect(await second).toBe('quick')
  })

  it('serves the ids of `getOrSetMany` to those that still wait', async () => {
    const { cache, load, started } = open()
    const many = async (ids: readonly number[]) => {
      const loadMany = async (missing: readonly number[]) => {
        const text = await load()
        return new Map(missing.map((id) => [id, `${id} by ${text}`]))
      }
      return [...(await cache.getOrSetMany(ids, loadMany, { key: (id) => ['city', id] })).values()]
    }
    const first = request(() => many([1, 2]))
    await started
    const other = request(() => many([2, 3]))
    first.leave()

    await expect(first.answer).rejects.toBe(left)
    expect((await other.answer).map((text) => text.split(' ')[0])).toEqual(['2', '3'])
  })
})
