import { randomBytes } from 'node:crypto'
import { Queue } from 'bullmq'
import fc from 'fast-check'
import { type BatchJob, type BatchQueue, distributeBatches } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { services } from '../../support/services.ts'

const runs = Number(process.env.RUNS ?? 100)

/** Keeps jobs as BullMQ does: a job whose id is there already is not added. */
function fakeQueue() {
  const jobs = new Map<string, BatchJob>()
  const queue: BatchQueue = {
    async addBulk(added) {
      for (const { data, opts } of added) {
        const id = opts?.jobId ?? ''
        expect(id).not.toMatch(/:|^\d+$/)
        // What BullMQ stores is JSON.
        if (!jobs.has(id)) jobs.set(id, JSON.parse(JSON.stringify(data)))
      }
      return []
    },
    getRanges: async () => [...jobs.keys()],
  }
  return { queue, jobs, itemsByPosition: () => positionsOf([...jobs.values()]) }
}

/** The items that the jobs hold for each position of the input. */
function positionsOf(jobs: readonly BatchJob[]): unknown[][] {
  const positions: unknown[][] = []
  for (const { items, index } of jobs) {
    for (const [offset, item] of items.entries())
      positions[index + offset] = [...(positions[index + offset] ?? []), item]
  }
  return positions
}

/** Items that are often equal, at different positions. */
const items = fc.array(fc.constantFrom<unknown>(1, 2, 'a', null, { id: 1 }, '1'), { maxLength: 30 })
const distribution = fc.record({
  /** The part of the input that exists by then. */
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  batchSize: fc.integer({ min: 1, max: 12 }),
})
const growing = fc
  .tuple(items, fc.array(distribution, { minLength: 1, maxLength: 5 }))
  .map(([input, steps]) => ({ input, steps: steps.sort((a, b) => a.share - b.share) }))

async function* asynchronous<Item>(values: readonly Item[]) {
  yield* values
}

describe('distributions under one key', () => {
  it('add each item once, whatever the batch sizes, while the input grows', async () => {
    await fc.assert(
      fc.asyncProperty(growing, fc.boolean(), async ({ input, steps }, isAsync) => {
        const { queue, itemsByPosition } = fakeQueue()
        for (const { share, batchSize } of [...steps, { share: 1, batchSize: 5 }]) {
          const part = input.slice(0, Math.round(share * input.length))
          const source = isAsync ? asynchronous(part) : part
          const { items } = await distributeBatches(queue, source, { batchSize, key: 'k' })
          expect(items).toBe(part.length)
        }
        expect(itemsByPosition()).toEqual(input.map((item) => [item]))
      }),
      { numRuns: runs },
    )
  })

  it('lose no item of an input that changes, or that was interrupted, or whose jobs were removed', async () => {
    const change = fc.record({ input: items, batchSize: fc.integer({ min: 1, max: 12 }), removed: fc.nat({ max: 3 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const { queue, jobs, itemsByPosition } = fakeQueue()
        for (const { input, batchSize, removed } of changes) {
          await distributeBatches(queue, input, { batchSize, key: 'k' })
          const positions = itemsByPosition()
          for (const [index, item] of input.entries()) expect(positions[index]).toContainEqual(item)
          for (const id of [...jobs.keys()].slice(0, removed)) jobs.delete(id)
        }
      }),
      { numRuns: runs },
    )
  })

  it('add the items of removed jobs again, and no other', async () => {
    await fc.assert(
      fc.asyncProperty(
        items.filter(({ length }) => length > 0),
        fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 12 })),
        fc.nat(),
        async (input, [first, second], removed) => {
          const { queue, jobs, itemsByPosition } = fakeQueue()
          await distributeBatches(queue, input, { batchSize: first, key: 'k' })
          jobs.delete([...jobs.keys()][removed % jobs.size] as string)
          await distributeBatches(queue, input, { batchSize: second, key: 'k' })
          expect(itemsByPosition()).toEqual(input.map((item) => [item]))
        },
      ),
      { numRuns: runs },
    )
  })

  it('lose nothing and add no batch twice in a queue that cannot list its jobs', async () => {
    await fc.assert(
      fc.asyncProperty(growing, async ({ input, steps }) => {
        const { queue, itemsByPosition } = fakeQueue()
        const { addBulk } = queue
        for (const { share, batchSize } of [...steps, { share: 1, batchSize: 5 }, { share: 1, batchSize: 5 }]) {
          await distributeBatches({ addBulk }, input.slice(0, Math.round(share * input.length)), {
            batchSize,
            key: 'k',
          })
        }
        const positions = itemsByPosition()
        for (const [index, item] of input.entries()) expect(new Set(positions[index])).toContainEqual(item)
      }),
      { numRuns: runs },
    )
  })

  it('know their own key, even if another begins like it', async () => {
    const { queue, jobs } = fakeQueue()
    for (const key of ['a', 'a-0', 'a-0-1', 'a:1', '7', ''])
      await distributeBatches(queue, [1, 2], { batchSize: 1, key })
    expect(jobs.size).toBe(12)
    expect([...jobs.values()].map(({ key }) => key)).toEqual(
      ['a', 'a-0', 'a-0-1', 'a:1', '7', ''].flatMap((key) => [key, key]),
    )
  })

  it('number the batches of this distribution, the known ones included', async () => {
    const { queue, jobs } = fakeQueue()
    expect(await distributeBatches(queue, [1, 2, 3], { batchSize: 2, key: 'k' })).toEqual({ batches: 2, items: 3 })
    expect(await distributeBatches(queue, [1, 2, 3, 4, 5], { batchSize: 2, key: 'k' })).toEqual({
      batches: 3,
      items: 5,
    })
    expect([...jobs.values()].map(({ items, index, batch }) => ({ items, index, batch }))).toEqual([
      { items: [1, 2], index: 0, batch: 0 },
      { items: [3], index: 2, batch: 1 },
      { items: [4, 5], index: 3, batch: 2 },
    ])
  })

  it('refuse wrong arguments by name, before anything is sent', async () => {
    const { queue } = fakeQueue()
    const distribute = (queue: unknown, items: unknown, options?: unknown) =>
      distributeBatches(queue as BatchQueue, items as number[], options as object)
    await expect(distribute({}, [1])).rejects.toThrow('Expected `queue` to be a BullMQ queue, got an object')
    await expect(distribute(undefined, [1])).rejects.toThrow('Expected `queue` to be a BullMQ queue, got `undefined`')
    await expect(distribute(queue, 5)).rejects.toThrow('Expected `items` to be iterable')
    await expect(distribute(queue, [1], { key: 7 })).rejects.toThrow('Expected `key` to be a string')
    await expect(distribute(queue, [1], { key: '\ud800' })).rejects.toThrow('Expected `key` to be a string')
    await expect(distribute(queue, [1], { batchsize: 5 })).rejects.toThrow('did you mean `batchSize`?')
    await expect(distribute(queue, [1], null)).rejects.toThrow('Expected `options` to be an object, got `null`')
  })
})

describe.skipIf(services.redis === undefined)('distributions to BullMQ under one key', () => {
  it('add each item once, wherever its job is by then', async () => {
    const { hostname, port } = new URL(services.redis as string)
    const name = `posthaste-${randomBytes(4).toString('hex')}`
    await using queue = Object.assign(new Queue(name, { connection: { host: hostname, port: Number(port) } }), {
      async [Symbol.asyncDispose]() {
        await queue.obliterate({ force: true })
        await queue.close()
      },
    })
    const input = ['a', 'a', 'b', { id: 1 }, { id: 1 }, null, 'c', 'd', 'e', 'f']
    await distributeBatches(queue, input.slice(0, 3), { batchSize: 2, key: 'a:1' })
    await queue.pause()
    await distributeBatches(queue, input.slice(0, 6), { batchSize: 4, key: 'a:1' })
    await queue.resume()
    await distributeBatches(queue, input, { batchSize: 3, key: 'a:1' })
    await distributeBatches(queue, input, { batchSize: 1, key: 'a:1' })
    const jobs = await queue.getJobs(['waiting'])
    expect(positionsOf(jobs.map(({ data }) => data))).toEqual(input.map((item) => [item]))
  })
})
