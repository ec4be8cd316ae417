import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import {
  asyncChunks,
  type BatchOptions,
  batchProcess,
  batchProcessChunks,
  type CheckpointStore,
  chunks,
  distributeBatches,
  fileCheckpoints,
  mapBatches,
  memoryCheckpoints,
  withRetry,
} from 'posthaste'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

const unhandled: unknown[] = []
const onUnhandled = (error: unknown) => unhandled.push(error)
beforeAll(() => void process.on('unhandledRejection', onUnhandled))
afterAll(() => void process.off('unhandledRejection', onUnhandled))
beforeEach(() => void unhandled.splice(0))

const never = () => new Promise<never>(() => {})
const boom = new Error('boom')

async function collect(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = []
  for await (const item of items) all.push(item)
  return all
}

const consumers: Record<string, (items: AsyncIterable<number>) => Promise<unknown>> = {
  batchProcess: (items) => batchProcess(items, (item) => item),
  mapBatches: (items) => collect(mapBatches(items, (items) => items)),
  asyncChunks: (items) => collect(asyncChunks(items, 2)),
  'asyncChunks with maxWait': (items) => collect(asyncChunks(items, 2, { maxWait: '1s' })),
}

describe.each(Object.entries(consumers))('%s', (_name, consume) => {
  it.each([
    ['undefined', undefined],
    ['null', null],
    ['a number', 5],
  ])('rejects when a step of an async source is %s, as a loop does', async (_step, wrong) => {
    const steps = [{ done: false, value: 1 }, wrong]
    const items = { [Symbol.asyncIterator]: () => ({ next: async () => steps.shift() }) }
    await expect(consume(items as never)).rejects.toThrow(
      'Expected `next()` of `items` to return an iterator result, got',
    )
    expect(unhandled).toEqual([])
  })

  it('rejects with what a getter of a step throws', async () => {
    const wrong = {
      get done() {
        throw boom
      },
    }
    const items = { [Symbol.asyncIterator]: () => ({ next: async () => wrong }) }
    await expect(consume(items as never)).rejects.toBe(boom)
    expect(unhandled).toEqual([])
  })
})

it('reads no iterator behind its end, because some begin again there', async () => {
  const restarting = (): Iterable<number> => {
    let item = 0
    const next = () => {
      if (item < 25) return { done: false as const, value: item++ }
      item = 0
      return { done: true as const, value: undefined }
    }
    return { [Symbol.iterator]: () => ({ next }) }
  }
  const options = { batchSize: 10 }
  let items = 0
  const processChunk = (chunk: readonly number[]) => {
    items += chunk.length
    if (items > 100) throw boom
    return chunk
  }
  const { processed } = await batchProcess(restarting(), async () => {}, options)
  expect(processed).toBe(25)
  expect(await batchProcessChunks(restarting(), processChunk, options)).toMatchObject({ processed: 25 })
  expect(await collect(mapBatches(restarting(), processChunk, options))).toHaveLength(25)
  const checkpoint = { key: 'k', store: { ...memoryCheckpoints(), load: async () => ({ processed: 25 }) } }
  expect(await batchProcess(restarting(), () => {}, { checkpoint })).toMatchObject({ processed: 0 })
})

it('takes arrays of a class whose constructor takes no length, as input and as results', async () => {
  class Rows extends Array<number> {
    constructor(rows: readonly number[]) {
      super()
      this.push(...rows)
    }
  }
  const rows = new Rows([1, 2, 3])
  const plain = [[1, 2], [3]]
  expect([...chunks(rows, 2)]).toStrictEqual(plain)
  expect(await collect(asyncChunks(rows, 2))).toEqual(plain)
  const processChunk = (chunk: readonly number[]) => new Rows(chunk)
  for (const items of [rows, [1, 2, 3]]) {
    const { results } = await batchProcessChunks(items, processChunk, { batchSize: 2 })
    expect(results).toEqual([1, 2, 3])
    expect(await collect(mapBatches(items, processChunk, { batchSize: 2 }))).toEqual([1, 2, 3])
  }
  expect((await batchProcess(rows, (item) => item)).results).toEqual([1, 2, 3])
})

it('refuses wrong steps of synchronous sources, which could go on for ever', async () => {
  const items = { [Symbol.iterator]: () => ({ next: () => 5 }) } as never
  const message = 'Expected `next()` of `items` to return an iterator result, got `5` (number)'
  await expect(batchProcess(items, () => 1)).rejects.toThrow(message)
  expect(() => chunks(items, 2).next()).toThrow(message)
})

it('ends the retries when `onRetry` rejects, as when it throws', async () => {
  let calls = 0
  const fail = () => Promise.reject(new Error(`no ${++calls}`))
  const retry = { retries: 3, minDelay: '1ms', onRetry: () => Promise.reject(boom) } as const
  await expect(withRetry(fail, retry)).rejects.toBe(boom)
  await expect(batchProcess([1], fail, { retry })).rejects.toMatchObject({ cause: boom })
  expect(calls).toBe(2)
  expect(unhandled).toEqual([])
})

it('stops when `onProgress` rejects, as when it throws', async () => {
  const started: number[] = []
  const onProgress = async () => {
    throw boom
  }
  const run = batchProcess([1, 2, 3], async (item) => void started.push(item), {
    batchSize: 1,
    concurrency: 1,
    onProgress,
  })
  await expect(run).rejects.toBe(boom)
  expect(started).not.toContain(3)
  expect(unhandled).toEqual([])
})

it('gets every line of `node:readline`, which keeps none that come before they are asked for', async () => {
  const readLines = () => {
    const lines = createInterface({ input: Readable.from(['one\ntwo\nthree']) })
    return { lines, areGone: once(lines, 'close') }
  }
  type Use = (lines: AsyncIterable<string>, options: BatchOptions<string>) => Promise<unknown[]>
  const uses: readonly Use[] = [
    async (lines, options) => (await batchProcess(lines, (line) => line, options)).results,
    async (lines, { checkpoint }) => collect(mapBatches(lines, (chunk) => chunk, { checkpoint })),
  ]
  for (const use of uses) {
    const { lines, areGone } = readLines()
    const load = () => areGone.then(() => undefined)
    const checkpoint = { key: 'k', store: { ...memoryCheckpoints(), load } }
    expect(await use(lines, { checkpoint })).toEqual(['one', 'two', 'three'])
  }
  const { lines, areGone } = readLines()
  const jobs: unknown[] = []
  const queue = {
    addBulk: async (added: readonly unknown[]) => {
      jobs.push(...added)
      return []
    },
    getRanges: () => areGone.then(() => []),
  }
  expect(await distributeBatches(queue, lines, { key: 'k' })).toEqual({ batches: 1, items: 3 })
  expect(jobs).toHaveLength(1)
})

describe('a checkpoint store that hangs', () => {
  const store = (methods: Partial<CheckpointStore>): CheckpointStore => ({
    load: async () => undefined,
    save: async () => {},
    clear: async () => {},
    ...methods,
  })
  const abortSoon = () => {
    const controller = new AbortController()
    setImmediate(() => setImmediate(() => controller.abort(boom)))
    return controller.signal
  }

  it.each([
    ['load', { load: never }],
    ['save', { save: never }],
  ])('in `%s` does not outlast an abort', async (_method, methods) => {
    const checkpoint = { key: 'job', store: store(methods) }
    const options = () => ({ batchSize: 1, grace: '10ms', checkpoint, signal: abortSoon() }) as const
    await expect(batchProcess([1, 2], (item) => item, options())).rejects.toBe(boom)
    await expect(collect(mapBatches([1, 2], (items) => items, options()))).rejects.toBe(boom)
  })

  it('in `save` has the time of `grace` to end after an abort', async () => {
    const controller = new AbortController()
    let isSaved = false
    const save = async () => {
      controller.abort(boom)
      await new Promise(setImmediate)
      isSaved = true
    }
    const options = { batchSize: 1, checkpoint: { key: 'job', store: store({ save }) }, signal: controller.signal }
    await expect(collect(mapBatches([1, 2], (items) => items, options))).rejects.toBe(boom)
    expect(isSaved).toBe(true)
  })
})

it('refuses a key with half a character, whose checkpoint would be that of others', async () => {
  const checkpoint = { key: 'job \ud83d', store: fileCheckpoints('unused') }
  await expect(batchProcess([1], () => 1, { checkpoint })).rejects.toThrow(
    'Expected `checkpoint.key` to be a string of whole characters',
  )
})
