import { PromisePool } from '@supercharge/promise-pool'
import pMap from 'p-map'
import { batchProcess, batchProcessChunks, chunks } from '../src/index.ts'
import { type Candidate, compare, table } from './harness.ts'

const count = 20_000
const items = Array.from({ length: count }, (_, index) => index)

/** What do batches and chunks cost over the same loop by hand? */
export default async function run(): Promise<string> {
  const parts = [`CPU time for ${count} items, against the loop by hand.`]
  parts.push(`Chunks of 100, one after another:\n\n${await cost(ofChunks, 20)}`)
  parts.push(`Items, 10 at a time, whose processor does nothing:\n\n${await cost(ofItems(async (item) => item + 1))}`)
  parts.push(`Items, 10 at a time, whose processor makes 1 KB of JSON:\n\n${await cost(ofItems(makeJson))}`)
  parts.push(`Cutting an array into chunks of 100:\n\n${await cost(ofCuts, 50)}`)
  return parts.join('\n\n')
}

async function cost(candidates: readonly Candidate[], iterations = 5): Promise<string> {
  return table(await compare(candidates, { iterations, rounds: 40, warmUp: 15, measure: 'cpu' }))
}

const processChunk = async (chunk: readonly number[]) => chunk.map((item) => item + 1)

const ofChunks: readonly Candidate[] = [
  {
    name: 'by hand',
    async run() {
      const results: number[] = []
      for (let start = 0; start < count; start += 100) {
        for (const result of await processChunk(items.slice(start, start + 100))) results.push(result)
      }
    },
  },
  { name: 'batchProcessChunks', run: () => batchProcessChunks(items, processChunk) },
]

function ofItems(work: (item: number) => Promise<unknown>): readonly Candidate[] {
  return [
    {
      name: 'by hand, a loop of workers',
      async run() {
        const results: unknown[] = new Array(count)
        let next = 0
        const worker = async () => {
          for (let index = next++; index < count; index = next++) results[index] = await work(items[index] as number)
        }
        await Promise.all(Array.from({ length: 10 }, worker))
      },
    },
    {
      name: 'by hand, `Promise.all` of 100',
      async run() {
        const results: unknown[] = []
        for (let start = 0; start < count; start += 100) {
          results.push(...(await Promise.all(items.slice(start, start + 100).map(work))))
        }
      },
    },
    { name: 'batchProcess', run: () => batchProcess(items, work) },
    { name: 'p-map', run: () => pMap(items, work, { concurrency: 10 }) },
    { name: 'promise-pool', run: () => PromisePool.withConcurrency(10).for(items).process(work) },
  ]
}

const rows = Array.from({ length: 12 }, (_, id) => ({ id, name: `Name of ${id}`, email: `user-${id}@example.com` }))
const makeJson = async (item: number) => JSON.stringify({ item, rows }).length

const ofCuts: readonly Candidate[] = [
  {
    name: 'by hand, `slice`',
    run() {
      let cut = 0
      for (let start = 0; start < count; start += 100) cut += items.slice(start, start + 100).length
      return cut
    },
  },
  {
    name: 'chunks of the array',
    run() {
      let cut = 0
      for (const chunk of chunks(items, 100)) cut += chunk.length
      return cut
    },
  },
  {
    name: 'chunks of its iterator',
    run() {
      let cut = 0
      for (const chunk of chunks(items.values(), 100)) cut += chunk.length
      return cut
    },
  },
]
