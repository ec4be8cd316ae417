import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { BatchError, batchProcessChunks, mapBatches, memoryCheckpoints } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { collect } from './support/collect.ts'

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

describe('mapBatches', () => {
  it('hands out all results in input order, whatever chunk is done first', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 4 }), { maxLength: 40 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 7 }),
        async (waits, concurrency, batchSize) => {
          const process = async (chunk: readonly { wait: number; index: number }[]) => {
            for (let n = 0; n < (chunk[0]?.wait ?? 0); n++) await null
            return chunk.map(({ index }) => index)
          }
          const items = waits.map((wait, index) => ({ wait, index }))
          const results = await collect(mapBatches(items.values(), process, { concurrency, batchSize }))
          expect(results).toEqual(range(waits.length))
        },
      ),
      { numRuns: 100 },
    )
  })

  it('hands out the results of `batchProcessChunks`, whatever lists the chunks return', async () => {
    const list = fc.option(fc.array(fc.oneof(fc.nat(), fc.constant(undefined), fc.array(fc.nat()))), { nil: undefined })
    await fc.assert(
      fc.asyncProperty(fc.array(list, { maxLength: 20 }), async (lists) => {
        const process = ([list]: readonly (unknown[] | undefined)[]) => list
        const options = { batchSize: 1, concurrency: 2 }
        const mapped = await collect(mapBatches(lists, process, options))
        const { results } = await batchProcessChunks(lists, process, options)
        // Nothing but `undefined` counts as no results there.
        if (mapped.some((value) => value !== undefined)) expect(mapped).toEqual(results)
        expect(mapped).toEqual(lists.flatMap((list) => list ?? []))
      }),
    )
  })

  it('reads and processes no more than `concurrency` chunks ahead of the reader', async () => {
    let read = 0
    function* source() {
      for (;;) yield read++
    }
    const results = mapBatches(source(), (chunk) => chunk, { batchSize: 10, concurrency: 3 })
    for (const expected of range(25)) {
      expect((await results.next()).value).toBe(expected)
      await sleep(0)
      expect(read).toBeLessThanOrEqual((Math.floor(expected / 10) + 3) * 10)
    }
    await results.return?.()
  })

  it('reads an async source one chunk ahead while a chunk is processed, and no further', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ concurrency: fc.integer({ min: 1, max: 4 }), batchSize: fc.integer({ min: 1, max: 5 }) }),
        fc.nat({ max: 60 }),
        async ({ concurrency, batchSize }, count) => {
          let read = 0
          let started = 0
          let closed = 0
          const releases: (() => void)[] = []
          async function* source() {
            try {
              while (read < count) yield read++
            } finally {
              closed++
            }
          }
          const process = async (chunk: readonly number[]) => {
            started++
            await new Promise<void>((resolve) => releases.push(resolve))
            return chunk
          }
          const settle = async () => {
            // The run lets the event loop turn now and then.
            for (const _ of range(5)) await new Promise((resolve) => setImmediate(resolve))
          }
          const results = mapBatches(source(), process, { concurrency, batchSize })
          const seen: number[] = []
          let next = results.next()
          for (let released = 0; ; released++) {
            await settle()
            const chunks = Math.ceil(count / batchSize)
            expect(started).toBe(Math.min(released + concurrency, chunks))
            // All calls are busy, and the next chunk is there already.
            expect(read).toBe(Math.min((started + 1) * batchSize, count))
            const release = releases.shift()
            if (release === undefined) break
            release()
            for (let item = 0; item < batchSize && seen.length < count; item++) {
              seen.push((await next).value as number)
              next = results.next()
            }
          }
          expect(await next).toEqual({ done: true, value: undefined })
          expect(seen).toEqual(range(count))
          expect(closed).toBe(1)
        },
      ),
      { numRuns: Number(process.env.RUNS ?? 30) },
    )
  })

  it('saves the cursor of its own chunk while the next one is read', async () => {
    const store = memoryCheckpoints()
    const source = (from: number) => ({
      cursor: null as string | null,
      resumeFrom: (cursor: string) => source(Number(cursor) + 1),
      async *[Symbol.asyncIterator]() {
        for (let item = from; item < 20; item++) {
          this.cursor = String(item)
          yield item
        }
      },
    })
    const options = { batchSize: 3, concurrency: 2, checkpoint: { key: 'k', store } }
    const seen: number[] = []
    for await (const item of mapBatches(source(0), (chunk) => chunk, options)) {
      seen.push(item)
      const saved = await store.load('k')
      if (saved !== undefined) expect(saved.cursor).toBe(String(saved.processed - 1))
      if (item === 10) break
    }
    expect(await store.load('k')).toEqual({ processed: 9, cursor: '8' })
    expect(await collect(mapBatches(source(0), (chunk) => chunk, options))).toEqual(range(20).slice(9))
  })

  it('hands out results of a source that gives one chunk and then hangs', async () => {
    async function* source() {
      yield* [1, 2]
      await new Promise(() => {})
    }
    const controller = new AbortController()
    const results = mapBatches(source(), (chunk) => chunk, {
      batchSize: 2,
      concurrency: 4,
      signal: controller.signal,
    })
    expect((await results.next()).value).toBe(1)
    expect((await results.next()).value).toBe(2)
    const next = results.next()
    controller.abort('enough')
    await expect(next).rejects.toBe('enough')
  })

  it('stops when the loop is left: calls are told and waited for, and the source is closed', async () => {
    const seen = { running: 0, told: 0, closed: false }
    function* source() {
      try {
        for (let item = 0; ; item++) yield item
      } finally {
        seen.closed = true
      }
    }
    const process = async (chunk: readonly number[], { signal }: { signal: AbortSignal }) => {
      seen.running++
      if (chunk[0] !== 0) await sleep(60_000, undefined, { signal }).catch(() => seen.told++)
      seen.running--
      return chunk
    }
    for await (const item of mapBatches(source(), process, { batchSize: 2, concurrency: 3 })) if (item === 1) break
    expect(seen).toEqual({ running: 0, told: 2, closed: true })
  })

  it('throws after the results that come before the failure, and has no call running then', async () => {
    let running = 0
    const process = async (chunk: readonly number[]) => {
      running++
      await sleep(chunk[0] === 0 ? 20 : 1)
      running--
      if (chunk.includes(5)) throw new Error('no')
      return chunk
    }
    const seen: number[] = []
    const read = async () => {
      for await (const item of mapBatches(range(20), process, { batchSize: 2, concurrency: 3 })) seen.push(item)
    }
    const error: unknown = await read().catch((reason) => reason)
    expect(error).toBeInstanceOf(BatchError)
    expect((error as BatchError).result.failures).toMatchObject([{ items: [4, 5], index: 4 }])
    expect({ seen, running }).toEqual({ seen: [0, 1, 2, 3], running: 0 })
  })

  it('accounts for each item that was processed before the failure, in whatever order the chunks ended', async () => {
    const chunk = fc.record({ turns: fc.nat({ max: 4 }), fails: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(
        fc.array(chunk, { maxLength: 20 }),
        fc.integer({ min: 1, max: 5 }),
        fc.nat({ max: 3 }),
        async (chunks, concurrency, maxFailures) => {
          const seen: number[] = []
          const process = async ([index = 0]: readonly number[]) => {
            const { turns = 0, fails = false } = chunks[index] ?? {}
            for (let turn = 0; turn < turns; turn++) await null
            if (fails) throw new Error('no')
            return [index]
          }
          const read = async () => {
            const options = { batchSize: 1, concurrency, maxFailures }
            for await (const index of mapBatches(range(chunks.length), process, options)) seen.push(index)
          }
          const error: unknown = await read().catch((reason) => reason)
          if (!(error instanceof BatchError)) return
          const { results, failures, processed } = error.result
          const failed = failures.map(({ index }) => index)
          expect(results.length + seen.length + failed.length).toBe(processed)
          expect([...seen, ...(results as number[])]).toEqual(
            [...seen, ...results].toSorted((a, b) => Number(a) - Number(b)),
          )
          expect(failed).toEqual(failed.toSorted((a, b) => a - b))
        },
      ),
    )
  })

  it('reads no more of an async source after an abort, at whatever moment', async () => {
    const turns = fc.nat({ max: 5 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(turns, { minLength: 1, maxLength: 20 }),
        turns,
        fc.nat({ max: 20 }),
        fc.record({ batchSize: fc.integer({ min: 1, max: 4 }), concurrency: fc.integer({ min: 1, max: 4 }) }),
        async (waits, abortTurns, abortAt, options) => {
          const controller = new AbortController()
          const { signal } = controller
          const reads = { open: 0, most: 0, late: 0 }
          let position = 0
          const source = {
            [Symbol.asyncIterator]: () => ({
              async next() {
                if (signal.aborted) reads.late++
                reads.open++
                reads.most = Math.max(reads.most, reads.open)
                for (let turn = waits[position % waits.length] ?? 0; turn > 0; turn--) await null
                reads.open--
                return { done: false as const, value: position++ }
              },
            }),
          }
          const abort = async () => {
            for (let turn = 0; turn < abortTurns; turn++) await null
            controller.abort()
          }
          const process = async ([first = 0]: readonly number[]) => {
            if (first >= abortAt) void abort()
            await null
            return []
          }
          const run = collect(mapBatches(source, process, { ...options, signal }))
          await expect(run).rejects.toThrow('This operation was aborted')
          // A read that went on would begin the next one.
          await sleep(0)
          expect(reads).toEqual({ open: 0, most: 1, late: 0 })
        },
      ),
      { numRuns: 200 },
    )
  })

  it('saves a checkpoint when the reader asks for more, and goes on from there', async () => {
    const store = memoryCheckpoints()
    const options = { batchSize: 2, checkpoint: { key: 'k', store } }
    const first = mapBatches(range(6), (chunk) => chunk, options)
    for (const expected of [0, 1, 2]) expect((await first.next()).value).toBe(expected)
    await first.return?.()
    expect(await store.load('k')).toEqual({ processed: 2 })
    expect(await collect(mapBatches(range(6), (chunk) => chunk, options))).toEqual([2, 3, 4, 5])
  })

  it('isolates and skips like the others', async () => {
    const process = (chunk: readonly number[]) => {
      if (chunk.includes(3)) throw new Error('no')
      return chunk
    }
    expect(await collect(mapBatches(range(6), process, { onError: 'isolate' }))).toEqual([0, 1, 2, 4, 5])
    expect(await collect(mapBatches(range(6), process, { onError: 'skip', batchSize: 2 }))).toEqual([0, 1, 4, 5])
  })

  it('refuses wrong options at once', () => {
    expect(() => mapBatches([1], () => [], { batchSize: 0 })).toThrow(RangeError)
  })
})
