import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type BatchOptions, batchProcess, batchProcessChunks, mapBatches } from 'posthaste'
import { describe, expect, it } from 'vitest'

const count = Number(process.env.LARGE_COUNT ?? 20_000)

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function heapBytes(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** A source that notes the heap while it is read, at a tenth and near the end. */
function measured() {
  const heap: number[] = []
  async function* source() {
    for (let item = 0; item < count; item++) {
      if (item === count / 10 || item === count - 1) heap.push(heapBytes())
      yield { item, payload: 'x'.repeat(10) }
    }
  }
  return { source, growth: () => (heap[1] ?? Number.NaN) - (heap[0] ?? Number.NaN) }
}

describe(`the heap over ${count} items of an async source`, () => {
  // Fewer than fifteen bytes for each item between the two readings: a single reference would be seen.
  const limit = 256 * 1_024
  const work = async () => {}

  it.each<[string, BatchOptions<object>, (item: object) => Promise<unknown>]>([
    ['a processor that returns nothing', { concurrency: 10 }, work],
    ['results that are not kept', { concurrency: 10, collect: false }, async (item: object) => ({ ...item })],
    ['a time limit and retries', { concurrency: 10, timeout: '10s', retry: 2 }, work],
  ])(
    'stays flat with %s',
    async (_, options, processItem) => {
      const { source, growth } = measured()
      const { signal } = new AbortController()
      const { processed } = await batchProcess(source(), processItem, { ...options, signal })
      expect(processed).toBe(count)
      expect(growth()).toBeLessThan(limit)
    },
    120_000,
  )

  it('stays flat in chunks and as a stream', async () => {
    const inChunks = measured()
    await batchProcessChunks(inChunks.source(), work, { concurrency: 3 })
    expect(inChunks.growth()).toBeLessThan(limit)
    const streamed = measured()
    let seen = 0
    for await (const _ of mapBatches(streamed.source(), (chunk) => chunk, { concurrency: 3 })) seen++
    expect(seen).toBe(count)
    expect(streamed.growth()).toBeLessThan(limit)
  }, 120_000)
})
