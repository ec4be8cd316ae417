import fc from 'fast-check'
import { asyncChunks, chunks } from 'posthaste'
import { describe, expect, it, vi } from 'vitest'
import { collect } from './support/collect.ts'

const runs = Number(process.env.PROPERTY_RUNS ?? 200)

/** An iterator that tells what was done to it. */
function spiedIterator<Item>(items: readonly Item[], { failAt }: { failAt?: number } = {}) {
  let position = 0
  const seen = { reads: 0, closed: 0 }
  const iterator: IterableIterator<Item> = {
    next() {
      seen.reads++
      if (position === failAt) throw new Error('the source failed')
      return position < items.length
        ? { done: false, value: items[position++] as Item }
        : { done: true, value: undefined }
    },
    return() {
      seen.closed++
      return { done: true, value: undefined }
    },
    [Symbol.iterator]() {
      return this
    },
  }
  return { iterator, seen }
}

describe('chunks', () => {
  it('concatenate to the input, each full but the last, for every kind of iterable', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.integer({ min: 1, max: 12 }), (items, size) => {
        for (const source of [items, new Set(items.map((_, index) => index)), items.values(), new Int32Array(items)]) {
          const all = [...(source instanceof Set ? source : items)]
          const cut = [...chunks<number>(source, size)]
          expect(cut.flat()).toEqual(all)
          expect(cut.slice(0, -1).every((chunk) => chunk.length === size)).toBe(true)
          expect(cut.every((chunk) => chunk.length > 0 && chunk.length <= size)).toBe(true)
        }
      }),
      { numRuns: runs },
    )
  })

  it('hold 100 items when no size is given', () => {
    expect([...chunks(new Array(250).fill(0))].map((chunk) => chunk.length)).toEqual([100, 100, 50])
  })

  it.each([0, -1, 2.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32, '2'])(
    'refuse the size %s and close the source',
    (size) => {
      const { iterator, seen } = spiedIterator([1, 2, 3])
      expect(() => chunks(iterator, size as number)).toThrow(RangeError)
      expect(seen).toEqual({ reads: 0, closed: 1 })
    },
  )

  it('name the option and the value when they refuse', () => {
    expect(() => chunks([1], 0)).toThrow('Expected `size` to be a whole number from 1 to 4294967295, got `0` (number)')
    expect(() => chunks(7 as never)).toThrow('Expected `items` to be iterable, got `7` (number)')
  })

  it('read nothing before they are asked, and nothing ahead of a chunk', () => {
    const { iterator, seen } = spiedIterator([1, 2, 3, 4, 5])
    const cut = chunks(iterator, 2)
    expect(seen.reads).toBe(0)
    expect(cut.next().value).toEqual([1, 2])
    expect(seen.reads).toBe(2)
  })

  it('close the source once when the loop is left', () => {
    const { iterator, seen } = spiedIterator([1, 2, 3, 4, 5])
    for (const _ of chunks(iterator, 2)) break
    expect(seen.closed).toBe(1)
  })

  it('close the source when they are closed before the first chunk, and are over then', () => {
    const { iterator, seen } = spiedIterator([1, 2, 3])
    const cut = chunks(iterator, 2)
    cut.return?.()
    cut.return?.()
    expect(cut.next()).toEqual({ done: true, value: undefined })
    expect(seen).toEqual({ reads: 0, closed: 1 })
  })

  it('neither close nor ask a source again that ended or threw', () => {
    const ended = spiedIterator([1, 2, 3])
    const cut = chunks(ended.iterator, 2)
    expect([...cut]).toEqual([[1, 2], [3]])
    cut.next()
    cut.return?.()
    expect(ended.seen).toEqual({ reads: 4, closed: 0 })

    const broken = spiedIterator([1, 2, 3], { failAt: 1 })
    const rest = chunks(broken.iterator, 2)
    expect(() => rest.next()).toThrow('the source failed')
    expect(rest.next()).toEqual({ done: true, value: undefined })
    expect(broken.seen).toEqual({ reads: 2, closed: 0 })
  })

  it('have the methods of an iterator', () => {
    expect([...(chunks([1, 2, 3], 2) as Iterator<number[]> & IteratorObject<number[]>).map((c) => c.length)]).toEqual([
      2, 1,
    ])
  })

  it('of an array that grows end where its own iterator would', () => {
    const walk = (cut: Iterable<number[]>, items: number[]) => {
      const lengths: number[] = []
      for (const chunk of cut) {
        lengths.push(chunk.length)
        if (items.length < 8) items.push(0, 0)
      }
      return lengths
    }
    for (const length of [0, 1, 2, 3, 4, 5]) {
      const sliced = new Array(length).fill(0)
      const iterated = new Array(length).fill(0)
      expect(walk(chunks(sliced, 2), sliced)).toEqual(walk(chunks(iterated.values(), 2), iterated))
    }
  })
})

async function* trickle<Item>(items: readonly Item[], waits: readonly number[] = []) {
  for (const [index, item] of items.entries()) {
    await new Promise((resolve) => setTimeout(resolve, waits[index] ?? 0))
    yield item
  }
}

describe('asyncChunks', () => {
  it('concatenate to the input, for asynchronous and synchronous sources', async () => {
    async function* source(items: readonly number[]) {
      yield* items
    }
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer()), fc.integer({ min: 1, max: 12 }), async (items, size) => {
        for (const input of [source(items), items]) {
          const cut = await collect(asyncChunks<number>(input, size))
          expect(cut.flat()).toEqual(items)
          expect(cut.slice(0, -1).every((chunk) => chunk.length === size)).toBe(true)
        }
      }),
      { numRuns: runs },
    )
  })

  it('hand out what there is when the first item has waited long enough', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const items = trickle([1, 2, 3, 4], [0, 10, 10_000, 10])
      const cut = collect(asyncChunks(items, 3, { maxWait: '5ms' }))
      await vi.runAllTimersAsync()
      expect((await cut).flat()).toEqual([1, 2, 3, 4])
    } finally {
      vi.useRealTimers()
    }
  })

  it('wait for `maxWait` of any length', async () => {
    vi.useFakeTimers()
    try {
      async function* source() {
        yield 1
        await new Promise(() => {})
      }
      const first = asyncChunks(source(), 2, { maxWait: '40d' }).next()
      const settled = vi.fn()
      void first.then(settled)
      await vi.advanceTimersByTimeAsync(40 * 86_400_000 - 1)
      expect(settled).not.toHaveBeenCalled()
      await vi.advanceTimersByTimeAsync(1)
      expect(await first).toEqual({ done: false, value: [1] })
    } finally {
      vi.useRealTimers()
    }
  })

  it('lose nothing and repeat nothing when chunks end by time', async () => {
    const items = Array.from({ length: 40 }, (_, index) => index)
    const cut = await collect(
      asyncChunks(
        trickle(
          items,
          items.map((index) => (index % 7 === 0 ? 15 : 0)),
        ),
        10,
        { maxWait: '5ms' },
      ),
    )
    expect(cut.flat()).toEqual(items)
    expect(cut.length).toBeGreaterThan(4)
  })

  it('close the source when they are left, also before the first chunk', async () => {
    for (const read of [0, 1]) {
      let closed = 0
      const source: AsyncIterableIterator<number> = {
        next: async () => ({ done: false, value: 1 }),
        return: async () => {
          closed++
          return { done: true, value: undefined }
        },
        [Symbol.asyncIterator]() {
          return this
        },
      }
      const cut = asyncChunks(source, 2)
      for (let n = 0; n < read; n++) await cut.next()
      await cut.return?.()
      expect(closed).toBe(1)
      expect(await cut.next()).toEqual({ done: true, value: undefined })
    }
  })

  it('reject with the reason when the signal fires while the source hangs, and let it go', async () => {
    const controller = new AbortController()
    let closed = false
    const source: AsyncIterableIterator<number> = {
      next: () => new Promise(() => {}),
      return: async () => {
        closed = true
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
    const next = asyncChunks(source, 2, { signal: controller.signal }).next()
    controller.abort('enough')
    await expect(next).rejects.toBe('enough')
    expect(closed).toBe(true)
  })

  it('pass on what the source throws', async () => {
    async function* source() {
      yield 1
      throw new Error('the source failed')
    }
    await expect(collect(asyncChunks(source(), 1))).rejects.toThrow('the source failed')
  })

  it('refuse a wrong size and a wrong wait at once', () => {
    expect(() => asyncChunks([1], 0)).toThrow(RangeError)
    expect(() => asyncChunks([1], 1, { maxWait: 5 as never })).toThrow(
      "Expected `maxWait` to be a duration like '250ms' or '5m', got `5` (number)",
    )
  })
})
