/**
 * Prints how many bytes the heap grows while a run reads an async source, from a tenth of the items to the last one:
 * `node heap-growth.ts COUNT RUN`. A process of its own, because other tests leave work and garbage in theirs.
 */
import { batchProcess, batchProcessChunks } from '../../../src/batch/batch-process.ts'
import { mapBatches } from '../../../src/batch/map-batches.ts'
import { collectGarbage } from '../../support/collect-garbage.ts'

interface Item {
  readonly item: number
  readonly payload: string
}

const work = async () => {}
const { signal } = new AbortController()

/** Each returns how many items it has processed. */
const runs: Readonly<Record<string, (source: AsyncIterable<Item>) => Promise<number>>> = {
  nothing: async (source) => (await batchProcess(source, work, { concurrency: 10, signal })).processed,
  dropped: async (source) => {
    const options = { concurrency: 10, collect: false, signal }
    return (await batchProcess(source, async (item) => ({ ...item }), options)).processed
  },
  retried: async (source) => {
    const options = { concurrency: 10, timeout: '10s', retry: 2, signal } as const
    return (await batchProcess(source, work, options)).processed
  },
  chunks: async (source) => (await batchProcessChunks(source, work, { concurrency: 3 })).processed,
  stream: async (source) => {
    let seen = 0
    for await (const _ of mapBatches(source, (chunk) => chunk, { concurrency: 3 })) seen++
    return seen
  },
}

const [count = '', name = ''] = process.argv.slice(2)
const run = runs[name] as (typeof runs)[string]

async function measure(items: number): Promise<{ processed: number; growth: number }> {
  const heap: number[] = []
  async function* source() {
    for (let item = 0; item < items; item++) {
      if (item === items / 10 || item === items - 1) {
        collectGarbage()
        heap.push(process.memoryUsage().heapUsed)
      }
      yield { item, payload: 'x'.repeat(10) }
    }
  }
  const processed = await run(source())
  return { processed, growth: (heap[1] ?? Number.NaN) - (heap[0] ?? Number.NaN) }
}

// What the compiler keeps is no part of the growth.
await measure(5_000)
process.stdout.write(JSON.stringify(await measure(Number(count))))
