import assert from 'node:assert/strict'
import {
  asyncChunks,
  batchProcess,
  batchProcessChunks,
  chunks,
  mapBatches,
  memoryCheckpoints,
  withRetry,
} from 'posthaste'
import { test } from './suite.ts'

const items = Array.from({ length: 25 }, (_, index) => index)

test('processes items, and survives those that fail', async () => {
  const work = async (item: number) => {
    await new Promise((resolve) => setTimeout(resolve, item % 3))
    if (item === 7) throw new Error('broken item')
    return item * 2
  }
  const { results, failures, processed } = await batchProcess(items, work, {
    concurrency: 5,
    onError: 'skip',
    retry: { retries: 1, minDelay: '1ms' },
  })
  assert.equal(processed, 25)
  assert.equal(results.length, 24)
  assert.deepEqual(
    failures.map(({ index, attempts }) => ({ index, attempts })),
    [{ index: 7, attempts: 2 }],
  )
})

test('resumes at a checkpoint', async () => {
  const store = memoryCheckpoints()
  const seen: number[] = []
  const run = (stopAt: number) =>
    batchProcessChunks(
      items,
      async (chunk) => {
        if (chunk.includes(stopAt)) throw new Error('stopped')
        seen.push(...chunk)
      },
      { batchSize: 10, checkpoint: { key: 'numbers', store } },
    )
  await assert.rejects(run(15), { code: 'ERR_BATCH' })
  await run(-1)
  assert.deepEqual(seen, items)
})

test('cuts inputs into chunks, by size and by time', async () => {
  assert.deepEqual(
    [...chunks(items, 10)].map(({ length }) => length),
    [10, 10, 5],
  )
  const read: number[] = []
  for await (const chunk of asyncChunks(items, 10, { maxWait: '20ms' })) read.push(chunk.length)
  assert.deepEqual(read, [10, 10, 5])
  const results: number[] = []
  for await (const value of mapBatches(items, (chunk) => chunk.map((item) => item + 1), { batchSize: 4 }))
    results.push(value)
  assert.deepEqual(
    results,
    items.map((item) => item + 1),
  )
})

test('stops with the reason of a signal, and repeats what fails', async () => {
  const signal = AbortSignal.timeout(20)
  const wait = () => new Promise((resolve) => setTimeout(resolve, 5))
  const endless = (function* () {
    for (let index = 0; ; index++) yield index
  })()
  await assert.rejects(batchProcess(endless, wait, { signal, collect: false }), { name: 'TimeoutError' })
  assert.equal(
    await withRetry(({ attempt }) => (attempt < 3 ? Promise.reject(new Error('again')) : attempt), { minDelay: '1ms' }),
    3,
  )
})
