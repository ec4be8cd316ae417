import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import {
  BatchError,
  type BatchOptions,
  type BatchProgress,
  batchProcess,
  batchProcessChunks,
  mapBatches,
  memoryCheckpoints,
  withRetry,
} from 'posthaste'
import { afterEach, describe, expect, it, vi } from 'vitest'

const runs = Number(process.env.PROPERTY_RUNS ?? 100)
const range = (count: number) => Array.from({ length: count }, (_, index) => index)

async function* asyncItems<Item>(items: readonly Item[]) {
  for (const item of items) {
    if (Math.random() < 0.2) await sleep(0)
    yield item
  }
}

/** A processor that knows how many of its calls are running. */
function watched<Item, Result>(work: (item: Item, signal: AbortSignal) => Result | Promise<Result>) {
  const seen = { running: 0, most: 0, calls: 0 }
  const processor = async (item: Item, { signal }: { signal: AbortSignal }) => {
    seen.calls++
    seen.most = Math.max(seen.most, ++seen.running)
    try {
      return await work(item, signal)
    } finally {
      seen.running--
    }
  }
  return { processor, seen }
}

async function batchErrorOf(promise: Promise<unknown>): Promise<BatchError> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(BatchError)
  return error as BatchError
}

describe('batchProcess', () => {
  it('returns results in input order, whatever the source, the concurrency and the speed of each call', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 3 }), { maxLength: 60 }),
        fc.record({ concurrency: fc.integer({ min: 1, max: 12 }), batchSize: fc.integer({ min: 1, max: 9 }) }),
        fc.constantFrom('array', 'iterator', 'async'),
        async (waits, options, kind) => {
          const items = waits.map((wait, index) => ({ wait, index }))
          const source = kind === 'array' ? items : kind === 'iterator' ? items.values() : asyncItems(items)
          const { processor, seen } = watched(async ({ wait, index }: (typeof items)[number]) => {
            for (let n = 0; n < wait; n++) await null
            return index
          })
          const result = await batchProcess(source, processor, options)
          expect(result.results).toEqual(items.map(({ index }) => index))
          expect(result).toMatchObject({ processed: items.length, failures: [], abandoned: 0, stopped: false })
          expect(result.batches).toBe(Math.ceil(items.length / options.batchSize))
          expect(seen.most).toBeLessThanOrEqual(options.concurrency)
        },
      ),
      { numRuns: runs },
    )
  })

  it('leaves out exactly the items that fail when they are skipped, and reports them in input order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { maxLength: 60 }),
        fc.integer({ min: 1, max: 12 }),
        async (fails, concurrency) => {
          const { results, failures, processed } = await batchProcess(
            fails.map((fail, index) => ({ fail, index })),
            async ({ fail, index }) => {
              await null
              if (fail) throw index
              return index
            },
            { concurrency, batchSize: 7, onError: 'skip' },
          )
          expect(results).toEqual(range(fails.length).filter((index) => !fails[index]))
          expect(failures.map(({ index }) => index)).toEqual(range(fails.length).filter((index) => fails[index]))
          expect(failures.every(({ error, items, index }) => error === index && items.length === 1)).toBe(true)
          expect(processed).toBe(fails.length)
        },
      ),
      { numRuns: runs },
    )
  })

  it('keeps as many calls in flight as `concurrency` says, across batches', async () => {
    const { processor, seen } = watched(() => sleep(2))
    await batchProcess(range(40), processor, { concurrency: 4, batchSize: 5 })
    expect(seen).toEqual({ running: 0, most: 4, calls: 40 })
  })

  it('does not wait for the slowest item of a batch', async () => {
    let release = () => {}
    const slow = new Promise<void>((resolve) => {
      release = resolve
    })
    const done: number[] = []
    const run = batchProcess(
      range(20),
      async (item) => {
        if (item === 0) await slow
        done.push(item)
        if (done.length === 19) release()
      },
      { concurrency: 2, batchSize: 5 },
    )
    expect((await run).processed).toBe(20)
    expect(done.at(-1)).toBe(0)
  })

  it('starts on the items of a slow source as they come', async () => {
    let processed = 0
    let atEnd = -1
    async function* source() {
      yield* [1, 2, 3]
      await sleep(20)
      atEnd = processed
    }
    await batchProcess(source(), () => void processed++, { batchSize: 100 })
    expect(atEnd).toBe(3)
  })

  it('works on nothing', async () => {
    const result = await batchProcess([], () => 1)
    expect(result).toMatchObject({ results: [], failures: [], processed: 0, batches: 0, stopped: false })
  })

  it('keeps `undefined` among other results, and nothing where all are undefined or `collect` is off', async () => {
    const odd = (item: number) => (item % 2 === 1 ? item : undefined)
    expect((await batchProcess(range(5), odd, { batchSize: 2 })).results).toEqual([
      undefined,
      1,
      undefined,
      3,
      undefined,
    ])
    expect((await batchProcess(range(5), () => undefined)).results).toEqual([])
    expect((await batchProcess(range(5), odd, { collect: false })).results).toEqual([])
  })

  it('tells each call its place, its batch, its attempt, and no key without a checkpoint', async () => {
    const seen: unknown[] = []
    await batchProcess(
      ['a', 'b', 'c'],
      (_, { index, batch, attempt, key, signal }) => void seen.push([index, batch, attempt, key, signal.aborted]),
      { batchSize: 2 },
    )
    expect(seen).toEqual([
      [0, 0, 1, undefined, false],
      [1, 0, 1, undefined, false],
      [2, 1, 1, undefined, false],
    ])
  })

  it.each<[string, BatchOptions<number>]>([
    ['the source nor the processor', {}],
    ['the source, the processor nor the checkpoint store', { checkpoint: { key: 'k', store: memoryCheckpoints() } }],
  ])('lets the event loop turn while neither %s ever waits', async (_, options) => {
    let turned = false
    setImmediate(() => {
      turned = true
    })
    await batchProcess(
      range(100),
      () => {
        const until = performance.now() + 1
        while (performance.now() < until);
      },
      { batchSize: 10, concurrency: 1, ...options },
    )
    expect(turned).toBe(true)
  })

  it('waits before each batch but the first', async () => {
    vi.useFakeTimers()
    try {
      const starts: number[] = []
      const began = Date.now()
      const run = batchProcess(range(6), () => void starts.push(Date.now() - began), { batchSize: 2, delay: '30ms' })
      await vi.advanceTimersByTimeAsync(60)
      await run
      expect(starts).toEqual([0, 0, 30, 30, 60, 60])
    } finally {
      vi.useRealTimers()
    }
  })

  it('does not wait behind the last batch, whatever the source', async () => {
    const options = { batchSize: 2, delay: '1h' } as const
    const sources = [() => [1, 2], () => new Set([1, 2]).values(), () => Readable.from([1, 2])]
    for (const open of sources) {
      expect(await batchProcess(open(), (item) => item, options)).toMatchObject({ results: [1, 2] })
      expect(await batchProcessChunks(open(), (chunk) => [...chunk], options)).toMatchObject({ results: [1, 2] })
      expect(await Array.fromAsync(mapBatches(open(), (chunk) => [...chunk], options))).toEqual([1, 2])
    }
  })

  it('counts the time in which the source has nothing as a part of `delay`', async () => {
    vi.useFakeTimers()
    try {
      const starts: number[] = []
      const began = Date.now()
      async function* slow() {
        yield 1
        await new Promise((resolve) => setTimeout(resolve, 50))
        yield 2
      }
      const run = batchProcess(slow(), () => void starts.push(Date.now() - began), { batchSize: 1, delay: '30ms' })
      await vi.advanceTimersByTimeAsync(50)
      await run
      expect(starts).toEqual([0, 50])
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('`concurrency: Infinity`', () => {
  const sources = {
    array: (count: number) => range(count),
    iterator: (count: number) => range(count).values(),
    'async iterator': (count: number) => asyncItems(range(count)),
  }

  it.each(Object.entries(sources))('has all items of an %s in flight', async (_, source) => {
    const count = 1_000
    const { promise: release, resolve } = Promise.withResolvers<void>()
    const { processor, seen } = watched(async (item: number) => {
      if (item === count - 1) resolve()
      await release
      return item
    })
    const { results } = await batchProcess(source(count), processor, { concurrency: Infinity })
    expect(results).toEqual(range(count))
    expect(seen).toEqual({ running: 0, most: count, calls: count })
  })

  it.each(Object.entries(sources))('has all chunks of an %s in flight', async (_, source) => {
    const { promise: release, resolve } = Promise.withResolvers<void>()
    const options = { concurrency: Infinity, batchSize: 10 }
    const work = () =>
      watched(async (chunk: readonly number[]) => {
        if (chunk.at(-1) === 994) resolve()
        await release
        return chunk
      })
    const all = work()
    expect((await batchProcessChunks(source(995), all.processor, options)).results).toEqual(range(995))
    expect(all.seen.most).toBe(100)
    const streamed: number[] = []
    for await (const item of mapBatches(source(995), work().processor, options)) streamed.push(item)
    expect(streamed).toEqual(range(995))
  })

  it('needs no more workers than an async source has items at a time', async () => {
    const { processor, seen } = watched(async () => {})
    async function* slow() {
      for (const item of range(50)) {
        await sleep(0)
        yield item
      }
    }
    await batchProcess(slow(), processor, { concurrency: Infinity })
    expect(seen.most).toBe(1)
  })

  it('stops at a failure, and lets the event loop turn while it starts', async () => {
    let turns = 0
    const turn = setInterval(() => turns++, 1)
    const { processor, seen } = watched((item: number) => {
      const end = performance.now() + 0.2
      while (performance.now() < end);
      if (item === 400) throw new Error('no')
    })
    await batchErrorOf(batchProcess(range(1_000), processor, { concurrency: Infinity }))
    clearInterval(turn)
    expect(seen.running).toBe(0)
    expect(seen.calls).toBeLessThan(1_000)
    expect(turns).toBeGreaterThan(0)
  })

  it('is allowed for `maxFailures`, and not with a transaction', async () => {
    const fail = () => {
      throw new Error('no')
    }
    expect((await batchProcess(range(5), fail, { maxFailures: Infinity })).failures).toHaveLength(5)
    const transaction = { transaction: () => {} } as never
    await expect(batchProcess([1], fail, { transaction, concurrency: Infinity })).rejects.toThrow('`concurrency`')
  })
})

describe('a failing call', () => {
  it.each([0, 1, 7])('stops the run at item %i, after which nothing starts and nothing runs', async (failing) => {
    const { processor, seen } = watched(async (item: number) => {
      await sleep(item === failing ? 1 : 5)
      if (item === failing) throw new Error('no')
      return item
    })
    const error = await batchErrorOf(batchProcess(range(50), processor, { concurrency: 4 }))
    const { calls } = seen
    expect(seen.running).toBe(0)
    await sleep(20)
    expect(seen.calls).toBe(calls)
    expect(error).toMatchObject({ code: 'ERR_BATCH', message: `The batch was stopped by a failure at item ${failing}` })
    expect((error.cause as Error).message).toBe('no')
    expect(error.result.stopped).toBe('error')
    expect(error.result.failures).toMatchObject([{ items: [failing], index: failing, attempts: 1 }])
    expect(error.result.results).toEqual(range(calls).filter((item) => item !== failing))
  })

  it('that throws before its first wait stops the run before another one starts', async () => {
    const seen: number[] = []
    const run = batchProcess(range(9), (item) => {
      seen.push(item)
      if (item === 1) throw new Error('no')
    })
    await batchErrorOf(run)
    expect(seen).toEqual([0, 1])
  })

  it('is a failure even when it throws undefined', async () => {
    const throwUndefined = () => {
      throw undefined
    }
    const error = await batchErrorOf(batchProcess([1, 2], throwUndefined))
    expect(error.cause).toBe(undefined)
    const { failures } = await batchProcess([1, 2], throwUndefined, { onError: 'skip' })
    expect(failures).toMatchObject([
      { error: undefined, index: 0 },
      { error: undefined, index: 1 },
    ])
  })

  it('tells the calls beside it, and what they then throw is no failure of theirs', async () => {
    const error = await batchErrorOf(
      batchProcess(
        [0, 1, 2],
        async (item, { signal }) => {
          if (item !== 1) await sleep(60_000, undefined, { signal })
          throw new Error('no')
        },
        { concurrency: 3 },
      ),
    )
    expect(error.result).toMatchObject({ failures: [{ index: 1 }], processed: 1 })
  })

  it('is reported as well when it comes after the one that stopped the run', async () => {
    const error = await batchErrorOf(
      batchProcess(
        [0, 1],
        async (item, { signal }) => {
          if (item === 0) await new Promise((resolve) => signal.addEventListener('abort', resolve))
          throw new Error(`no ${item}`)
        },
        { concurrency: 2 },
      ),
    )
    expect(error.cause).toMatchObject({ message: 'no 1' })
    expect(error.result.failures).toMatchObject([
      { index: 0, error: { message: 'no 0' } },
      { index: 1, error: { message: 'no 1' } },
    ])
  })

  it('lets no item begin that the source gives at the same moment', async () => {
    for (let turns = 0; turns < 12; turns++) {
      const begun: number[] = []
      const failing = Promise.withResolvers<never>()
      async function* source() {
        yield 0
        queueMicrotask(async () => {
          for (let turn = 0; turn < turns; turn++) await null
          failing.reject(new Error('no'))
        })
        yield 1
      }
      let isStopped = false
      const run = batchProcess(
        source(),
        (item, { signal }) => {
          signal.addEventListener('abort', () => {
            isStopped = true
          })
          expect(isStopped).toBe(false)
          begun.push(item)
          return item === 0 ? failing.promise : item
        },
        { concurrency: 2 },
      )
      expect((await batchErrorOf(run)).result.failures).toMatchObject([{ index: 0 }])
      expect(begun[0]).toBe(0)
    }
  })

  it('is no longer judged when the run has ended meanwhile', async () => {
    const judged = Promise.withResolvers<'skip'>()
    const error = await batchErrorOf(
      batchProcess(
        [0, 1],
        async (item) => {
          if (item === 1) await null
          throw new Error(`no ${item}`)
        },
        { concurrency: 2, grace: '5ms', onError: ({ index }) => (index === 0 ? judged.promise : 'stop') },
      ),
    )
    const before = structuredClone({ ...error.result, failures: error.result.failures.map(({ index }) => index) })
    judged.resolve('skip')
    await sleep(0)
    expect(before).toMatchObject({ failures: [1], processed: 1, stopped: 'error' })
    expect(error.result).toMatchObject({ failures: [{ index: 1 }], processed: 1 })
  })

  it('keeps its own error when it comes within the time limit', async () => {
    const no = new Error('no')
    const { failures } = await batchProcess([1], () => Promise.reject(no), { timeout: '1h', onError: 'skip' })
    expect(failures[0]?.error).toBe(no)
  })

  it('is one too many when more than `maxFailures` items failed', async () => {
    const fail = (item: number) => {
      if (item % 2 === 0) throw new Error(`no ${item}`)
    }
    const options = { maxFailures: 2, concurrency: 1 }
    expect((await batchProcess(range(4), fail, options)).failures).toHaveLength(2)
    const error = await batchErrorOf(batchProcess(range(9), fail, options))
    expect(error.result).toMatchObject({ stopped: 'maxFailures', processed: 5 })
    expect(error.result.failures).toHaveLength(3)
    expect(error.message).toBe('The batch was stopped after 3 failed items, the first at 0')
  })

  it('is judged by a function, which may take its time', async () => {
    const seen: unknown[] = []
    const error = await batchErrorOf(
      batchProcess(
        range(5),
        (item) => {
          if (item > 1) throw item
        },
        {
          concurrency: 1,
          onError: async (failure) => {
            seen.push(failure.error)
            return failure.index < 3 ? 'skip' : 'stop'
          },
        },
      ),
    )
    expect(seen).toEqual([2, 3])
    expect(error.result.failures.map(({ index }) => index)).toEqual([2, 3])
  })

  it.each(['source', 'onError', 'onProgress'])('does not hide what the %s throws', async (where) => {
    const boom = new Error('boom')
    const { processor, seen } = watched(async (item: number) => {
      await sleep(1)
      if (where === 'onError' && item === 3) throw new Error('no')
    })
    function* source() {
      for (const item of range(20)) {
        if (where === 'source' && item === 5) throw boom
        yield item
      }
    }
    const hook = (name: string) => () => {
      if (where === name) throw boom
      return 'skip' as const
    }
    const options = { concurrency: 3, batchSize: 5, onError: hook('onError'), onProgress: hook('onProgress') }
    await expect(batchProcess(source(), processor, options)).rejects.toBe(boom)
    expect(seen.running).toBe(0)
  })
})

describe('an abort', () => {
  it('before the run touches nothing', async () => {
    const processor = vi.fn()
    const source = { [Symbol.iterator]: vi.fn() as () => Iterator<number> }
    await expect(batchProcess(source, processor, { signal: AbortSignal.abort('gone') })).rejects.toBe('gone')
    expect(source[Symbol.iterator]).not.toHaveBeenCalled()
    expect(processor).not.toHaveBeenCalled()
  })

  it('during the run ends it when the calls have ended, and closes the source', async () => {
    const controller = new AbortController()
    let closed = false
    async function* source() {
      try {
        for (let item = 0; ; item++) yield item
      } finally {
        closed = true
      }
    }
    const { processor, seen } = watched(async (item: number, signal) => {
      if (item === 10) controller.abort('gone')
      // Half of the calls listen, the others end in their own time.
      await sleep(10, undefined, item % 2 === 0 ? { signal } : {})
    })
    await expect(batchProcess(source(), processor, { signal: controller.signal })).rejects.toBe('gone')
    const { calls } = seen
    expect(seen.running).toBe(0)
    expect(closed).toBe(true)
    await sleep(15)
    expect(seen.calls).toBe(calls)
  })

  it('ends a run whose source hangs', async () => {
    const source: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }),
    }
    const started = performance.now()
    await expect(batchProcess(source, () => 1, { signal: AbortSignal.timeout(10) })).rejects.toThrow('aborted')
    expect(performance.now() - started).toBeLessThan(2_000)
  })

  it('ends the pause between batches and the pause before a retry', async () => {
    const options: BatchOptions<number>[] = [
      { delay: '1h', batchSize: 1 },
      { retry: { retries: 5, minDelay: '1h', maxDelay: '1h' } },
    ]
    for (const option of options) {
      const fail = () => {
        if (option.retry !== undefined) throw new Error('no')
      }
      await expect(batchProcess([1, 2], fail, { ...option, signal: AbortSignal.timeout(10) })).rejects.toThrow(
        'aborted',
      )
    }
  })

  it('ends the run at whatever moment it comes', async () => {
    for (let turns = 0; turns < 30; turns++) {
      const controller = new AbortController()
      const run = batchProcess(range(1_000), async () => {}, { signal: controller.signal })
      for (let turn = 0; turn < turns; turn++) await null
      controller.abort('gone')
      await expect(run).rejects.toBe('gone')
    }
  })

  it('after the run does nothing', async () => {
    const controller = new AbortController()
    const result = await batchProcess([1], (item) => item, { signal: controller.signal })
    controller.abort()
    expect(result.results).toEqual([1])
  })

  it('with no reason to speak of rejects with what the signal has', async () => {
    const controller = new AbortController()
    const run = batchProcess(range(5), () => sleep(5), { signal: controller.signal })
    controller.abort()
    await expect(run).rejects.toBe(controller.signal.reason)
  })

  it('leaves no listener behind', async () => {
    const { signal } = new AbortController()
    const added = vi.spyOn(signal, 'addEventListener')
    const removed = vi.spyOn(signal, 'removeEventListener')
    await batchProcess(range(50), (item) => item, { signal, timeout: '1s', retry: 1 })
    expect(added.mock.calls.length).toBe(removed.mock.calls.length)
  })
})

describe('a call that takes too long', () => {
  it('is told by its signal, and has failed even if it ends well later', async () => {
    const started = performance.now()
    const { failures, abandoned } = await batchProcess(
      ['listens', 'does not'],
      (item, { signal }) => sleep(60, item, item === 'listens' ? { signal } : {}),
      { timeout: '10ms', onError: 'skip' },
    )
    expect(failures.map(({ error }) => (error as Error).name)).toEqual(['TimeoutError', 'TimeoutError'])
    expect(abandoned).toBe(0)
    expect(performance.now() - started).toBeGreaterThan(55)
  })

  it('is abandoned, counted, and not repeated when it goes on for `timeout` and `grace`', async () => {
    let calls = 0
    const { failures, abandoned, results } = await batchProcess(
      [1, 2, 3],
      (item) => {
        calls++
        return item === 2 ? new Promise<never>(() => {}) : item
      },
      { timeout: '10ms', grace: '10ms', retry: 3, onError: 'skip' },
    )
    expect({ calls, abandoned, results }).toEqual({ calls: 3, abandoned: 1, results: [1, 3] })
    expect(failures).toMatchObject([{ index: 1, attempts: 1, error: { name: 'TimeoutError' } }])
  })

  it('is abandoned and counted when the run stops and it ignores that for `grace`', async () => {
    const error = await batchErrorOf(
      batchProcess(
        [1, 2, 3],
        async (item) => {
          if (item < 3) return new Promise<never>(() => {})
          throw new Error('no')
        },
        { grace: '10ms' },
      ),
    )
    expect(error.result.abandoned).toBe(2)
    const hung = batchProcess([1], () => new Promise<never>(() => {}), {
      grace: '10ms',
      signal: AbortSignal.timeout(5),
    })
    await expect(hung).rejects.toThrow('aborted')
  })

  it('cannot change a result that was handed out', async () => {
    let release = () => {}
    const late = new Promise<void>((resolve) => {
      release = resolve
    })
    const error = await batchErrorOf(
      batchProcess(
        [1, 2],
        async (item) => {
          if (item === 2) throw new Error('no')
          await late
          return item
        },
        { grace: '5ms' },
      ),
    )
    const before = structuredClone({ ...error.result, failures: [] })
    release()
    await sleep(5)
    expect({ ...error.result, failures: [] }).toEqual(before)
  })
})

describe('durations of any length', () => {
  const days = 86_400_000
  afterEach(() => void vi.useRealTimers())

  it('are kept by `timeout` and `grace`', async () => {
    vi.useFakeTimers()
    const signals: AbortSignal[] = []
    const run = batchProcess(
      [1],
      (_, { signal }) => {
        signals.push(signal)
        return new Promise<never>(() => {})
      },
      { timeout: '40d', grace: '30d', onError: 'skip' },
    )
    const settled = vi.fn()
    void run.then(settled)
    await vi.advanceTimersByTimeAsync(40 * days - 1)
    expect(signals[0]?.aborted).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(signals[0]?.reason).toMatchObject({ name: 'TimeoutError' })
    await vi.advanceTimersByTimeAsync(30 * days - 1)
    expect(settled).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    expect(await run).toMatchObject({ abandoned: 1, failures: [{ error: { name: 'TimeoutError' } }] })
    expect(vi.getTimerCount()).toBe(0)
  })

  it('are kept by the `grace` of a run that stops', async () => {
    vi.useFakeTimers()
    const controller = new AbortController()
    const settled = vi.fn()
    const stopped = batchProcess([1], () => new Promise<never>(() => {}), { grace: '40d', signal: controller.signal })
    stopped.catch(settled)
    await vi.advanceTimersByTimeAsync(0)
    controller.abort('gone')
    await vi.advanceTimersByTimeAsync(40 * days - 1)
    expect(settled).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    await expect(stopped).rejects.toBe('gone')
    expect(vi.getTimerCount()).toBe(0)
  })

  it('are kept by `delay`, which an abort ends', async () => {
    vi.useFakeTimers()
    const controller = new AbortController()
    const seen: number[] = []
    const run = batchProcess([1, 2, 3], (item) => void seen.push(item), {
      batchSize: 1,
      delay: '40d',
      signal: controller.signal,
    })
    const outcome = expect(run).rejects.toBe('gone')
    await vi.advanceTimersByTimeAsync(40 * days - 1)
    expect(seen).toEqual([1])
    await vi.advanceTimersByTimeAsync(1)
    expect(seen).toEqual([1, 2])
    controller.abort('gone')
    await outcome
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('retry', () => {
  it('repeats a failing call, and counts the attempts', async () => {
    const attempts: number[] = []
    const { results } = await batchProcess(
      ['x'],
      (item, { attempt }) => {
        attempts.push(attempt)
        if (attempt < 3) throw new Error('not yet')
        return item
      },
      { retry: { retries: 5, minDelay: '1ms' } },
    )
    expect({ results, attempts }).toEqual({ results: ['x'], attempts: [1, 2, 3] })
    const error = await batchErrorOf(
      batchProcess(['x'], () => Promise.reject(new Error('never')), { retry: { retries: 2, minDelay: '1ms' } }),
    )
    expect(error.result.failures).toMatchObject([{ attempts: 3 }])
  })

  it('gives each attempt a signal and a time limit of its own', async () => {
    const signals = new Set<AbortSignal>()
    const { results } = await batchProcess(
      ['x'],
      async (item, { attempt, signal }) => {
        expect(signal.aborted).toBe(false)
        signals.add(signal)
        if (attempt === 1) await sleep(1_000, undefined, { signal })
        return item
      },
      { retry: { retries: 1, minDelay: '1ms' }, timeout: '20ms' },
    )
    expect({ results, signals: signals.size }).toEqual({ results: ['x'], signals: 2 })
  })
})

describe('withRetry', () => {
  it('waits for a random share of a bound that doubles up to `maxDelay`', async () => {
    const delays: number[] = []
    const random = vi.spyOn(Math, 'random').mockReturnValue(1)
    const call = withRetry(
      () => {
        throw new Error('no')
      },
      { retries: 5, minDelay: '1ms', maxDelay: '6ms', onRetry: ({ delayMs }) => void delays.push(delayMs) },
    )
    await expect(call).rejects.toThrow('no')
    random.mockRestore()
    expect(delays).toEqual([1, 2, 4, 6, 6])
  })

  it('makes three further attempts, unless told that the error will not go away', async () => {
    const fn = vi.fn(() => Promise.reject(new Error('no')))
    await expect(withRetry(fn, { minDelay: '1ms' })).rejects.toThrow('no')
    expect(fn).toHaveBeenCalledTimes(4)
    fn.mockClear()
    await expect(withRetry(fn, { shouldRetry: () => false })).rejects.toThrow('no')
    expect(fn).toHaveBeenCalledTimes(1)
  })

  it('hands out `attempt` and `signal`, and rejects with the reason of an abort', async () => {
    const controller = new AbortController()
    const { signal } = controller
    expect(await withRetry((context) => context, { signal })).toEqual({ attempt: 1, signal })
    const call = withRetry(() => Promise.reject(new Error('no')), { signal, minDelay: '1h', maxDelay: '1h' })
    setTimeout(() => controller.abort('gone'), 5)
    await expect(call).rejects.toBe('gone')
    const fn = vi.fn()
    await expect(withRetry(fn, { signal })).rejects.toBe('gone')
    expect(fn).not.toHaveBeenCalled()
  })

  it('keeps delays of any length', async () => {
    vi.useFakeTimers()
    const random = vi.spyOn(Math, 'random')
    try {
      random.mockReturnValue(1)
      const fn = vi.fn().mockRejectedValueOnce(new Error('no')).mockResolvedValue('yes')
      const call = withRetry(fn, { minDelay: '40d', maxDelay: '40d' })
      await vi.advanceTimersByTimeAsync(40 * 86_400_000 - 1)
      expect(fn).toHaveBeenCalledOnce()
      await vi.advanceTimersByTimeAsync(1)
      expect(await call).toBe('yes')
    } finally {
      random.mockRestore()
      vi.useRealTimers()
    }
  })

  it('never waits when `minDelay` is 0, however much the delay grows', async () => {
    const delays: number[] = []
    const options = {
      minDelay: '0ms',
      factor: 1e300,
      onRetry: ({ delayMs }: { delayMs: number }) => delays.push(delayMs),
    } as const
    await expect(withRetry(() => Promise.reject(new Error('no')), options)).rejects.toThrow('no')
    expect(delays).toEqual([0, 0, 0])
  })

  it('refuses wrong options', () => {
    expect(() => withRetry(() => 1, { retries: -1 })).toThrow('Expected `retries` to be a whole number from 0 up')
    expect(() => withRetry(() => 1, { minDelay: 50 as never })).toThrow('Expected `minDelay` to be a duration')
    expect(() => withRetry(() => 1, { factor: 0.5 })).toThrow('Expected `factor` to be a number from 1 up')
  })
})

describe('batchProcessChunks', () => {
  it('joins the lists it is given, in input order', async () => {
    const result = await batchProcessChunks(
      range(25),
      async (chunk) => {
        await sleep(Math.random() * 5)
        return chunk.map((item) => item * 2)
      },
      { batchSize: 10, concurrency: 3 },
    )
    expect(result.results).toEqual(range(25).map((item) => item * 2))
    expect(result).toMatchObject({ processed: 25, batches: 3 })
  })

  it('skips a chunk as a whole, with the place of its first item', async () => {
    const { results, failures } = await batchProcessChunks(
      range(6),
      (chunk) => {
        if (chunk.includes(3)) throw new Error('no')
        return [...chunk]
      },
      { batchSize: 2, onError: 'skip' },
    )
    expect(results).toEqual([0, 1, 4, 5])
    expect(failures).toMatchObject([{ items: [2, 3], index: 2, attempts: 1 }])
  })

  it('isolates whatever items are poisonous, and processes every other one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat({ max: 99 }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 40 }),
        async (poison, batchSize) => {
          const { results, failures } = await batchProcessChunks(
            range(100),
            (chunk) => {
              if (chunk.some((item) => poison.includes(item))) throw new Error('poison')
              return [...chunk]
            },
            { batchSize, concurrency: 2, onError: 'isolate' },
          )
          const sorted = [...poison].sort((a, b) => a - b)
          expect(failures.map(({ items, index }) => [items, index])).toEqual(sorted.map((item) => [[item], item]))
          expect(results).toEqual(range(100).filter((item) => !poison.includes(item)))
        },
      ),
      { numRuns: runs },
    )
  })

  it('isolates one poison item, wherever it is, in at most 2 log2(batch) + 1 extra calls', async () => {
    for (const batchSize of [1, 2, 3, 5, 7, 9, 10, 17, 33, 50, 100, 129]) {
      for (let poison = 0; poison < batchSize; poison++) {
        let calls = 0
        const { failures } = await batchProcessChunks(
          range(batchSize),
          (chunk) => {
            calls++
            if (chunk.includes(poison)) throw new Error('poison')
          },
          { batchSize, onError: 'isolate' },
        )
        expect(failures).toMatchObject([{ items: [poison] }])
        expect(calls - 1).toBeLessThanOrEqual(2 * Math.log2(batchSize) + 1)
      }
    }
  })

  it('finds one poison item among 10,000', async () => {
    let calls = 0
    const { results, failures } = await batchProcessChunks(
      range(10_000),
      (chunk) => {
        calls++
        if (chunk.includes(6_789)) throw new Error('poison')
        return [...chunk]
      },
      { onError: 'isolate' },
    )
    expect(results).toHaveLength(9_999)
    expect(failures).toMatchObject([{ items: [6_789], index: 6_789 }])
    expect(calls - 100).toBeLessThanOrEqual(2 * Math.log2(100) + 1)
  })

  it('loses nothing when a chunk fails only because it is too large', async () => {
    const { results, failures } = await batchProcessChunks(
      range(50),
      (chunk) => {
        if (chunk.length > 7) throw new Error('too large')
        return [...chunk]
      },
      { onError: 'isolate' },
    )
    expect({ results, failures }).toEqual({ results: range(50), failures: [] })
  })

  it('stops in the middle of isolating when `maxFailures` is reached', async () => {
    const error = await batchErrorOf(
      batchProcessChunks(
        range(16),
        (chunk) => {
          if (chunk.some((item) => item > 3)) throw new Error('no')
          return [...chunk]
        },
        { onError: 'isolate', maxFailures: 2 },
      ),
    )
    expect(error.result.failures).toHaveLength(3)
    expect(error.result.results).toEqual([0, 1, 2, 3])
  })

  it('stops between the halves when it is aborted', async () => {
    const controller = new AbortController()
    const chunks: (readonly number[])[] = []
    const run = batchProcessChunks(
      range(8),
      (chunk) => {
        chunks.push(chunk)
        if (chunk.length === 8) throw new Error('no')
        controller.abort('gone')
      },
      { onError: 'isolate', signal: controller.signal },
    )
    await expect(run).rejects.toBe('gone')
    expect(chunks).toEqual([range(8), range(4)])
  })

  it.each(['well', 'badly'])('takes no notice of a half that ends %s after the run was given up', async (how) => {
    const controller = new AbortController()
    const half = Promise.withResolvers<number[]>()
    const chunks: (readonly number[])[] = []
    const onError = vi.fn(() => 'isolate' as const)
    const run = batchProcessChunks(
      range(8),
      async (chunk) => {
        chunks.push(chunk)
        if (chunk.length === 8) throw new Error('no')
        controller.abort('gone')
        return half.promise
      },
      { onError, signal: controller.signal, grace: '5ms' },
    )
    await expect(run).rejects.toBe('gone')
    if (how === 'well') half.resolve([])
    else half.reject(new Error('late'))
    await sleep(0)
    expect(chunks).toEqual([range(8), range(4)])
    expect(onError).toHaveBeenCalledOnce()
  })

  it('does not isolate a chunk whose call may be running still', async () => {
    let calls = 0
    const hang = () => {
      calls++
      return new Promise<never>(() => {})
    }
    const { abandoned, failures } = await batchProcessChunks(range(8), hang, {
      timeout: '5ms',
      grace: '5ms',
      onError: 'isolate',
    })
    expect({ calls, abandoned }).toEqual({ calls: 1, abandoned: 1 })
    expect(failures).toMatchObject([{ items: range(8), index: 0 }])
  })

  it('refuses what is neither a list nor nothing', async () => {
    const error = await batchErrorOf(batchProcessChunks([1], () => 7 as never))
    expect((error.cause as Error).message).toBe(
      'Expected the processor to return a list of results or nothing, got `7` (number)',
    )
  })
})

describe('progress', () => {
  it('tells the speed and when the rest will be done', async () => {
    let now = 0
    const seen: BatchProgress[] = []
    await batchProcess(
      range(40),
      (item) => {
        now += 10
        if (item === 1) throw new Error('no')
      },
      { batchSize: 20, concurrency: 1, clock: () => now, onError: 'skip', onProgress: (p) => void seen.push(p) },
    )
    const common = { failed: 1, inFlight: 0, resumed: 0, total: 40, itemsPerSecond: 100 }
    expect(seen).toEqual([
      { ...common, processed: 20, elapsedMs: 200, etaMs: 200 },
      { ...common, processed: 40, elapsedMs: 400, etaMs: 0 },
    ])
  })

  it('tells no end as long as no time has passed, and that nothing is left', async () => {
    const seen: BatchProgress[] = []
    await batchProcess(range(4), (item) => item, { batchSize: 2, clock: () => 5, onProgress: (p) => void seen.push(p) })
    const common = { failed: 0, inFlight: 0, resumed: 0, total: 4, itemsPerSecond: 0, elapsedMs: 0 }
    expect(seen).toEqual([
      { ...common, processed: 2 },
      { ...common, processed: 4, etaMs: 0 },
    ])
  })

  it('has no total for a source of unknown length, unless it is given', async () => {
    const seen: (number | undefined)[] = []
    const onProgress = ({ total }: BatchProgress) => void seen.push(total)
    await batchProcess(range(3).values(), () => 1, { onProgress })
    await batchProcess(range(3).values(), () => 1, { onProgress, total: 3 })
    await batchProcess(new Set(range(3)), () => 1, { onProgress })
    expect(seen).toEqual([undefined, 3, 3])
  })
})

describe('wrong options', () => {
  it.each([
    [{ concurrency: 0 }, 'Expected `concurrency` to be a whole number from 1 up, got `0` (number)'],
    [{ batchSize: 1.5 }, 'Expected `batchSize` to be a whole number from 1 to 4294967295, got `1.5` (number)'],
    [
      { onError: 'ignore' as never },
      "Expected `onError` to be one of 'stop', 'skip', 'isolate', got `'ignore'` (string)",
    ],
    [{ maxFailures: -1 }, 'Expected `maxFailures` to be a whole number from 0 up, got `-1` (number)'],
    [{ retry: 0.5 }, 'Expected `retry` to be a whole number from 0 up, got `0.5` (number)'],
    [{ retry: { factor: 0 } }, 'Expected `retry.factor` to be a number from 1 up, got `0` (number)'],
    [{ timeout: 500 as never }, "Expected `timeout` to be a duration like '250ms' or '5m', got `500` (number)"],
    [{ grace: '5 s' as never }, "Expected `grace` to be a duration like '250ms' or '5m', got `'5 s'` (string)"],
    [{ delay: null as never }, "Expected `delay` to be a duration like '250ms' or '5m', got `null`"],
    [{ concurrency: Number.NaN }, 'Expected `concurrency` to be a whole number from 1 up, got `NaN` (number)'],
    [{ concurrency: -Infinity }, 'Expected `concurrency` to be a whole number from 1 up, got `-Infinity` (number)'],
    [
      { batchSize: Infinity },
      'Expected `batchSize` to be a whole number from 1 to 4294967295, got `Infinity` (number)',
    ],
    [{ retry: Infinity }, 'Expected `retry` to be a whole number from 0 up, got `Infinity` (number)'],
    [{ retry: { retries: Infinity } }, 'Expected `retry.retries` to be a whole number from 0 up, got `Infinity`'],
    [{ retry: null as never }, 'Expected `retry` to be an object, got `null`'],
    [{ retry: { shouldRetry: 1 as never } }, 'Expected `retry.shouldRetry` to be a function, got `1` (number)'],
    [{ retry: { delay: '1s' } as never }, 'There is no option `delay` in `retry`; did you mean `minDelay`?'],
    [{ total: Infinity }, 'Expected `total` to be a whole number from 0 up, got `Infinity` (number)'],
    [{ onProgress: {} as never }, 'Expected `onProgress` to be a function, got an object'],
    [{ collect: 'no' as never }, "Expected `collect` to be one of true, false, got `'no'` (string)"],
    [{ clock: 5 as never }, 'Expected `clock` to be a function, got `5` (number)'],
    [{ signal: 'abort' as never }, "Expected `signal` to be an AbortSignal, got `'abort'` (string)"],
    [{ checkpoint: 'k' as never }, "Expected `checkpoint` to be an object, got `'k'` (string)"],
    [{ checkpoint: { key: 'k' } as never }, 'Expected `checkpoint.store` to be an object, got `undefined`'],
    [{ transaction: {} as never }, 'Expected `transaction.transaction` to be a function, got `undefined`'],
    [{ batchsize: 5 } as never, 'There is no option `batchsize` in `options`; did you mean `batchSize`?'],
    [null as never, 'Expected `options` to be an object, got `null`'],
    [[] as never, 'Expected `options` to be an object, got an array'],
  ])('are refused by name: %o', async (options, message) => {
    await expect(batchProcess([1], () => 1, options)).rejects.toThrow(message)
    await expect(batchProcessChunks([1], () => [], options)).rejects.toThrow(message)
  })

  it.each([undefined, null, 'work', { batchSize: 5 }])(
    'are refused for a processor that is none: %o',
    async (processor) => {
      const wrong = processor as never
      await expect(batchProcess([], wrong)).rejects.toThrow('Expected `processItem` to be a function, got ')
      await expect(batchProcessChunks([], wrong)).rejects.toThrow('Expected `processChunk` to be a function, got ')
      expect(() => mapBatches([], wrong)).toThrow('Expected `processChunk` to be a function, got ')
      expect(() => withRetry(wrong)).toThrow('Expected `fn` to be a function, got ')
    },
  )

  it('are refused for items that cannot be iterated', async () => {
    await expect(batchProcess(5 as never, () => 1)).rejects.toThrow('Expected `items` to be iterable, got `5` (number)')
  })
})
