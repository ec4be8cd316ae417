import { once } from 'node:events'
import { sql } from 'kysely'
import { batchProcess, batchProcessChunks, kyselyCheckpoints, memoryCheckpoints } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createJobDatabase, type JobDatabase, jobDialects } from '../support/job-database.ts'
import { itemsDone } from '../support/job-databases.ts'

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

describe.each(jobDialects)('`transaction` on $dialect', ({ dialect, missing }) => {
  let job: JobDatabase
  beforeAll(async () => {
    if (!missing) job = await createJobDatabase(dialect)
  })
  afterAll(() => job?.drop())
  const test = it.skipIf(missing)

  async function open() {
    const { db } = job
    const store = kyselyCheckpoints(db)
    await store.clear('job')
    await db.deleteFrom('done').execute()
    return { db, store, options: { transaction: db, checkpoint: { key: 'job', store }, batchSize: 10 } }
  }

  test('commits a batch with its checkpoint, or neither', async () => {
    const { db, store, options } = await open()
    const run = (failAt: number) =>
      batchProcessChunks(
        range(35),
        async (chunk, { trx }) => {
          for (const item of chunk) await trx.insertInto('done').values({ item }).execute()
          if (chunk.includes(failAt)) throw new Error('no')
        },
        options,
      )
    await expect(run(25)).rejects.toMatchObject({ code: 'ERR_BATCH', result: { processed: 30 } })
    expect(await itemsDone(db)).toEqual(range(20))
    expect(await store.load('job')).toEqual({ processed: 20 })
    expect(await run(-1)).toMatchObject({ resumed: 20, processed: 15 })
    expect(await itemsDone(db)).toEqual(range(35))
  })

  test('leaves out an item that fails, and keeps what the others of its batch wrote', async () => {
    const { db, store, options } = await open()
    const { results, failures } = await batchProcess(
      range(35),
      async (item, { trx, index, attempt }) => {
        expect({ index, attempt }).toEqual({ index: item, attempt: 1 })
        await trx.insertInto('done').values({ item }).execute()
        // PostgreSQL refuses any further statement of a transaction after an error.
        if (item % 13 === 12) await sql`select * from no_such_table`.execute(trx)
        return item
      },
      { ...options, onError: 'skip' },
    )
    const sound = range(35).filter((item) => item % 13 !== 12)
    expect(await itemsDone(db)).toEqual(sound)
    expect(results).toEqual(sound)
    expect(failures.map(({ items, index }) => [items, index])).toEqual([
      [[12], 12],
      [[25], 25],
    ])
    expect(await store.load('job')).toEqual({ processed: 35 })
  })

  test('leaves out the first item of a batch, and ends when that is one too many', async () => {
    const { db, store, options } = await open()
    const insert = async (item: number, { trx }: { trx: typeof db }) => {
      if (item === 10 || item === 25) throw new Error('no')
      await trx.insertInto('done').values({ item }).execute()
    }
    const run = batchProcess(range(35), insert, { ...options, maxFailures: 1 })
    await expect(run).rejects.toMatchObject({
      result: { stopped: 'maxFailures', failures: [{ index: 10 }, { index: 25 }] },
    })
    // Of the last batch, what lies before the failure is done, with its checkpoint.
    expect(await itemsDone(db)).toEqual(range(25).filter((item) => item !== 10))
    expect(await store.load('job')).toEqual({ processed: 25 })
  })

  test('stops at a failure that shows while a batch is repeated without another one', async () => {
    const { db, store, options } = await open()
    let calls = 0
    const run = batchProcess(
      range(20),
      async (item, { trx }) => {
        calls++
        await trx.insertInto('done').values({ item }).execute()
        if (item === 5 || (item === 2 && calls > 6)) throw new Error(`no ${item}`)
      },
      { ...options, onError: ({ index }) => (index === 5 ? 'skip' : 'stop') },
    )
    await expect(run).rejects.toMatchObject({ cause: { message: 'no 2' }, result: { failures: [{ index: 2 }] } })
    expect(await itemsDone(db)).toEqual([])
    expect(await store.load('job')).toEqual({ processed: 0 })
  })

  test('isolates poison items, and moves the checkpoint over one at the end', async () => {
    const { db, store, options } = await open()
    const { failures } = await batchProcessChunks(
      range(20),
      async (chunk, { trx }) => {
        for (const item of chunk) await trx.insertInto('done').values({ item }).execute()
        if (chunk.includes(4) || chunk.includes(19)) throw new Error('poison')
      },
      { ...options, onError: 'isolate' },
    )
    expect(failures.map(({ items }) => items)).toEqual([[4], [19]])
    expect(await itemsDone(db)).toEqual(range(20).filter((item) => item !== 4 && item !== 19))
    expect(await store.load('job')).toEqual({ processed: 20 })
  })

  test('repeats a batch from its start', async () => {
    const { db, options } = await open()
    await batchProcess(
      range(20),
      async (item, { trx, attempt }) => {
        await trx.insertInto('done').values({ item }).execute()
        if (item === 15 && attempt === 1) throw new Error('not yet')
      },
      { ...options, retry: { retries: 2, minDelay: '1ms' } },
    )
    expect(await itemsDone(db)).toEqual(range(20))
  })

  test('does not process again what a lost COMMIT answer left in doubt', async () => {
    const { db, options } = await open()
    let lost = 0
    const flaky = Object.create(db, {
      transaction: {
        value: () => ({
          async execute<Value>(fn: Parameters<ReturnType<typeof db.transaction>['execute']>[0]) {
            const value = await db.transaction().execute(fn)
            if (lost++ === 1) throw new Error('connection lost')
            return value as Value
          },
        }),
      },
    }) as typeof db
    const result = await batchProcess(
      range(30),
      async (item, { trx }) => void (await trx.insertInto('done').values({ item }).execute()),
      { ...options, transaction: flaky, retry: { retries: 2, minDelay: '1ms' } },
    )
    expect(result).toMatchObject({ processed: 30, failures: [] })
    expect(await itemsDone(db)).toEqual(range(30))
  })

  test('stops when another run moves the checkpoint, whatever `onError` says', async () => {
    const { db, store, options } = await open()
    const run = batchProcess(
      range(30),
      async (item, { trx }) => void (await trx.insertInto('done').values({ item }).execute()),
      {
        ...options,
        onError: 'skip',
        retry: 3,
        onProgress: ({ processed }) => (processed === 10 ? void store.save('job', { processed: 25 }) : undefined),
        delay: '100ms',
      },
    )
    await expect(run).rejects.toThrow("Another run moved the checkpoint 'job' from 10 to 25")
    expect(await itemsDone(db)).toEqual(range(10))
  })

  test('does not put back the checkpoint of another run, which began while a batch was skipped', async () => {
    const { db, store, options } = await open()
    const insert = async (chunk: readonly number[], { trx }: { trx: typeof db }) => {
      for (const item of chunk) await trx.insertInto('done').values({ item }).execute()
    }
    const run = batchProcessChunks(
      range(30),
      async (chunk, context) => {
        if (chunk.includes(5)) throw new Error('no')
        await insert(chunk, context)
      },
      {
        ...options,
        async onError() {
          await batchProcessChunks(range(20), insert, options)
          return 'skip' as const
        },
      },
    )
    await expect(run).rejects.toThrow("Another run moved the checkpoint 'job' from 0 to 20")
    expect(await itemsDone(db)).toEqual(range(20))
    expect(await store.load('job')).toEqual({ processed: 20 })
  })

  test('stops when the checkpoint is taken away', async () => {
    const { db, store, options } = await open()
    const run = batchProcess(
      range(30),
      async (item, { trx }) => {
        await trx.insertInto('done').values({ item }).execute()
      },
      {
        ...options,
        onProgress: ({ processed }) => (processed === 10 ? void store.clear('job') : undefined),
        delay: '100ms',
      },
    )
    await expect(run).rejects.toThrow("Another run moved the checkpoint 'job' from 10 to nowhere")
    expect(await itemsDone(db)).toEqual(range(10))
  })

  test('rolls a batch back that took too long', async () => {
    const { db, options } = await open()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { failures } = await batchProcess(
      range(20),
      async (item, { trx, signal }) => {
        await trx.insertInto('done').values({ item }).execute()
        if (item !== 3) return
        const aborted = once(signal, 'abort')
        vi.advanceTimersByTime(60_000)
        await aborted
      },
      { ...options, timeout: '60s', onError: 'skip' },
    ).finally(() => void vi.useRealTimers())
    expect(failures).toMatchObject([{ items: [3], error: { name: 'TimeoutError' } }])
    expect(await itemsDone(db)).toEqual(range(20).filter((item) => item !== 3))
  })

  test('calls the processor for no further item of the batch after an abort', async () => {
    for (const abortAt of range(10)) {
      const { db, options } = await open()
      const controller = new AbortController()
      const calls: number[] = []
      const process = async (item: number) => {
        calls.push(item)
        if (item === 10 + abortAt) controller.abort(new Error('deployment'))
      }
      const run = batchProcess(range(40), process, { ...options, signal: controller.signal })
      await expect(run).rejects.toThrow('deployment')
      expect(calls).toEqual(range(11 + abortAt))
      const { resumed, processed } = await batchProcess(range(40), () => {}, options)
      expect([10, 20]).toContain(resumed)
      expect(resumed + processed).toBe(40)
      expect(await itemsDone(db)).toEqual([])
    }
  })

  test('works without a checkpoint', async () => {
    const { db } = await open()
    await batchProcessChunks(
      range(6),
      async (chunk, { trx }) => {
        for (const item of chunk) await trx.insertInto('done').values({ item }).execute()
        if (chunk.includes(3)) throw new Error('no')
      },
      { transaction: db, batchSize: 2, onError: 'skip' },
    )
    expect(await itemsDone(db)).toEqual([0, 1, 4, 5])
  })

  test('needs one call at a time, and a checkpoint store in the database', async () => {
    const { options } = await open()
    await expect(batchProcess([1], () => 1, { ...options, concurrency: 2 })).rejects.toThrow(
      'Expected `concurrency` to be a whole number from 1 to 1, got `2` (number)',
    )
    const checkpoint = { key: 'job', store: memoryCheckpoints() }
    await expect(batchProcess([1], () => 1, { ...options, checkpoint })).rejects.toThrow(
      'Expected `checkpoint.store` to be `kyselyCheckpoints(db)` when `transaction` is set',
    )
  })
})
