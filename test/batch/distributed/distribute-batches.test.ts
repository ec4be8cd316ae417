import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createRequire, registerHooks } from 'node:module'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { type BatchJobResult, type BatchWorker, batchWorker, distributeBatches } from 'posthaste'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type Server, startRedis } from '../../support/servers.ts'
import { services } from '../../support/services.ts'

const range = (count: number) => Array.from({ length: count }, (_, index) => index)
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

describe.skipIf(services.redis === undefined)('batches on BullMQ', () => {
  const connection = services.redis ?? ''
  const { hostname, port } = new URL(connection === '' ? 'redis://none' : connection)
  const opened: { close(): Promise<unknown> }[] = []

  function openQueue(options: { prefix?: string } = {}): Queue {
    const queue = new Queue(`posthaste-${randomBytes(4).toString('hex')}`, {
      connection: { host: hostname, port: Number(port) },
      ...options,
    })
    opened.push({
      async close() {
        await queue.obliterate({ force: true })
        await queue.close()
      },
    })
    return queue
  }

  function opening(worker: BatchWorker): BatchWorker {
    opened.push(worker)
    return worker
  }

  afterEach(async () => {
    for (const { close } of opened
      .splice(0)
      .reverse()
      .map((one) => ({ close: () => one.close() })))
      await close()
  })

  const finished = (queue: Queue, batches: number) =>
    vi.waitFor(
      async () => {
        const { completed = 0, failed = 0 } = await queue.getJobCounts('completed', 'failed')
        expect(completed + failed).toBe(batches)
      },
      { timeout: 15_000, interval: 50 },
    )

  it('reach every worker, and every item is processed, with its place in the input', async () => {
    const queue = openQueue()
    async function* source() {
      yield* range(995)
    }
    expect(await distributeBatches(queue, source(), { batchSize: 10 })).toEqual({ batches: 100, items: 995 })
    const seen: number[] = []
    const by = new Set<number>()
    for (const worker of [1, 2]) {
      const processChunk = async (chunk: readonly number[], { index, batch }: { index: number; batch: number }) => {
        expect(chunk[0]).toBe(index)
        expect(batch).toBe(index / 10)
        await new Promise((resolve) => setTimeout(resolve, 1))
        seen.push(...chunk)
        by.add(worker)
        return [sum(chunk)]
      }
      opening(batchWorker(queue.name, processChunk, { connection, concurrency: 2 }))
    }
    await finished(queue, 100)
    expect(seen.sort((a, b) => a - b)).toEqual(range(995))
    expect(by.size).toBe(2)
    const jobs = await queue.getCompleted()
    expect(jobs.reduce((total, job) => total + sum(job.returnvalue.results), 0)).toBe(sum(range(995)))
    expect(jobs.every(({ progress, data }) => (progress as BatchJobResult).processed === data.items.length)).toBe(true)
  })

  it('of one `key` are in the queue once, however often they are distributed', async () => {
    const queue = openQueue()
    const distribute = (count: number) => distributeBatches(queue, range(count), { batchSize: 10, key: 'a:1' })
    await distribute(20)
    await distribute(35)
    const jobs = await queue.getWaiting()
    expect(jobs.map(({ data }) => data.items.length).sort()).toEqual([10, 10, 10, 5])
    const keys: (string | undefined)[] = []
    opening(batchWorker(queue.name, (_, { key }) => void keys.push(key), { connection }))
    await finished(queue, 4)
    expect(keys.sort()).toEqual(['a:1:0', 'a:1:10', 'a:1:20', 'a:1:30'])
  })

  it('leave their failures in the queue: a failed job, or the poison items of one that completed', async () => {
    const poison = (chunk: readonly number[]) => {
      if (chunk.includes(13)) throw new Error('poison')
      return [...chunk]
    }
    const stopping = openQueue()
    await distributeBatches(stopping, range(20), { batchSize: 10 })
    opening(batchWorker(stopping.name, poison, { connection, retry: { retries: 1, minDelay: '1ms' } }))
    await finished(stopping, 2)
    const [failed] = await stopping.getFailed()
    expect(failed?.failedReason).toBe('poison')
    expect(failed?.progress).toMatchObject({ failed: 10, total: 10, failures: [{ index: 10, attempts: 2 }] })

    const isolating = openQueue()
    await distributeBatches(isolating, range(20), { batchSize: 10 })
    opening(batchWorker(isolating.name, poison, { connection, onError: 'isolate' }))
    await finished(isolating, 2)
    const completed = await isolating.getCompleted()
    const { returnvalue } = completed.find(({ data }) => data.batch === 1) ?? {}
    expect(returnvalue).toMatchObject({
      processed: 10,
      failed: 1,
      results: [10, 11, 12, 14, 15, 16, 17, 18, 19],
      failures: [{ error: 'poison', items: [13], index: 13, attempts: 1 }],
    })
  })

  it('are found under the prefix of their queue, through a connection of the user’s own', async () => {
    const queue = openQueue({ prefix: 'own' })
    await distributeBatches(queue, range(5))
    const seen: number[] = []
    const options = { connection: { host: hostname, port: Number(port) }, prefix: 'own' }
    opening(batchWorker(queue.name, (chunk: readonly number[]) => void seen.push(...chunk), options))
    await finished(queue, 1)
    expect(seen).toEqual(range(5))
  })

  it('complete where the processor returns bigints, as an INSERT of Kysely does', async () => {
    const queue = openQueue()
    await distributeBatches(queue, range(4), { batchSize: 2 })
    const insert = (chunk: readonly number[]) => [
      { insertId: undefined, numInsertedOrUpdatedRows: BigInt(chunk.length) },
    ]
    opening(batchWorker(queue.name, insert, { connection }))
    await finished(queue, 2)
    expect((await queue.getFailed()).map(({ failedReason }) => failedReason)).toEqual([])
    const results = (await queue.getCompleted()).map(({ returnvalue }) => returnvalue.results)
    expect(results).toEqual([[{ numInsertedOrUpdatedRows: '2' }], [{ numInsertedOrUpdatedRows: '2' }]])
  })

  it('leave what was thrown in the queue, error or not', async () => {
    const processed = async (thrown: unknown, options: { onError?: 'skip' } = {}) => {
      const queue = openQueue()
      await distributeBatches(queue, [1])
      const fail = () => {
        throw thrown
      }
      opening(batchWorker(queue.name, fail, { connection, ...options }))
      await finished(queue, 1)
      const [[completed], [failed]] = [await queue.getCompleted(), await queue.getFailed()]
      return completed?.returnvalue.failures ?? failed?.failedReason
    }
    expect(await processed('no text')).toBe('The batch was stopped by a failure at item 0')
    expect(await processed('no text', { onError: 'skip' })).toMatchObject([{ error: 'no text', items: [1] }])
    expect(await processed(new Error('no'), { onError: 'skip' })).toMatchObject([{ error: 'no', items: [1] }])
  })

  it('are told to end when they are cancelled, and leave the reason in the queue', async () => {
    const queue = openQueue()
    await distributeBatches(queue, range(2), { batchSize: 1 })
    // Of BullMQ: what happens as well when another worker has taken a batch over.
    const reasons = ['enough of it', undefined]
    const processChunk = ([item]: readonly number[], { signal }: { signal: AbortSignal }) =>
      new Promise<never>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
        queue.getActive().then(([job]) => worker.cancelJob(job?.id, reasons[item as number]), reject)
      })
    const worker = opening(batchWorker(queue.name, processChunk, { connection, onError: 'skip' })) as BatchWorker & {
      cancelJob(id: string | undefined, reason: string | undefined): void
    }
    await finished(queue, 2)
    const failed = await queue.getFailed()
    expect(failed.map(({ failedReason }) => failedReason).sort()).toEqual([
      'This operation was aborted',
      'enough of it',
    ])
  })

  it.each<[string, unknown, string]>([
    ['text', { items: 'abc', index: 0, batch: 0 }, "`items` to be an array, got `'abc'` (string)"],
    ['no items', { index: 0, batch: 0 }, '`items` to be an array, got `undefined`'],
    ['a list', [1, 2], '`items` to be an array, got `undefined`'],
    ['nothing', null, '`items` to be an array, got `undefined`'],
    ['no position', { items: [1], batch: 0 }, '`index` to be a whole number from 0 up, got `undefined`'],
    [
      'a wrong number',
      { items: [1], index: 0, batch: -1 },
      '`batch` to be a whole number from 0 up, got `-1` (number)',
    ],
    ['a wrong key', { items: [1], index: 0, batch: 0, key: 7 }, '`key` to be a string or absent, got `7` (number)'],
  ])('that are none fail with a sentence and are not tried again: %s', async (_, data, sentence) => {
    const queue = openQueue()
    await queue.add('batch', data, { attempts: 5 })
    const processChunk = vi.fn()
    opening(batchWorker(queue.name, processChunk, { connection }))
    await finished(queue, 1)
    const [failed] = await queue.getFailed()
    expect(failed?.failedReason).toBe(`This job is no batch of \`distributeBatches\`: Expected ${sentence}`)
    expect(failed?.attemptsMade).toBe(1)
    expect(processChunk).not.toHaveBeenCalled()
  })

  it.each([{ max: 2, duration: '1h' } as const, { max: 2, duration: 3_600_000 }])(
    'are started no faster than `limiter` allows: %o',
    async (limiter) => {
      const queue = openQueue()
      await distributeBatches(queue, range(5), { batchSize: 1 })
      opening(batchWorker(queue.name, () => {}, { connection, limiter, concurrency: 5 }))
      await vi.waitFor(async () => expect(await queue.getRateLimitTtl(2)).toBeGreaterThan(0), { timeout: 15_000 })
      await finished(queue, 2)
      expect(await queue.getJobCounts('waiting', 'active')).toEqual({ waiting: 3, active: 0 })
    },
  )

  it('complete or fail as they ended when Redis refuses their progress, as one that fails over may', async () => {
    const server = (await startRedis()) as Server
    const queue = new Queue('queue', { connection: { host: '127.0.0.1', port: server.port } })
    const admin = new Redis(server.url)
    await admin.call('ACL', 'SETUSER', 'worker', 'on', '>secret', '~*', '&*', '+@all', '-hset')
    admin.disconnect()
    await distributeBatches(queue, range(2), { batchSize: 1 })
    const processChunk = ([item]: readonly number[]) => {
      if (item === 1) throw new Error('broken')
    }
    const worker = batchWorker(queue.name, processChunk, {
      connection: server.url.replace('://', '://worker:secret@'),
    })
    // BullMQ prints errors that nobody listens to: it may not count what the batches took.
    worker.on('error', () => {})
    await finished(queue, 2)
    expect((await queue.getCompleted()).map((job) => job.data.items)).toEqual([[0]])
    expect((await queue.getFailed()).map((job) => job.failedReason)).toEqual(['broken'])
    await Promise.all([worker.close(), queue.close()])
    await server.stop()
  })

  it('are taken over from a worker that dies', async () => {
    const queue = openQueue()
    await distributeBatches(queue, range(10), { batchSize: 10 })
    const script = join(import.meta.dirname, '../support/hanging-worker.ts')
    const child = spawn(process.execPath, [script, queue.name, connection], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    child.kill('SIGKILL')
    const seen: number[] = []
    opening(
      batchWorker(queue.name, (chunk: readonly number[]) => void seen.push(...chunk), { connection, takeOver: '1s' }),
    )
    await finished(queue, 1)
    expect(seen).toEqual(range(10))
  })

  it('are refused with wrong options, before anything is sent', async () => {
    const queue = openQueue()
    await expect(distributeBatches(queue, [1], { batchSize: 0 })).rejects.toThrow('`batchSize`')
    await expect(distributeBatches(queue, 5 as never)).rejects.toThrow('Expected `items` to be iterable')
    expect(() => batchWorker('q', () => {}, { connection, concurrency: 0 })).toThrow('`concurrency`')
    expect(() => batchWorker('q', () => {}, { connection, takeOver: 30 as never })).toThrow('`takeOver`')
    expect(() => batchWorker('q', () => {}, { connection: 'pass:word@' })).toThrow(/^Expected `connection` to be a URL/)
    const create = (...args: unknown[]) => batchWorker(...(args as Parameters<typeof batchWorker>))
    expect(() => create('', () => {}, { connection })).toThrow('`queueName`')
    expect(() => create('q', undefined, { connection })).toThrow('Expected `processChunk` to be a function, got `undef')
    expect(() => create('q', () => {})).toThrow('Expected `options` to be an object, got `undefined`')
    expect(() => create('q', () => {}, {})).toThrow('Expected `connection` to be an object, got `undefined`')
    expect(() => create('q', () => {}, { connection, limit: 1 })).toThrow('did you mean `limiter`?')
    expect(() => create('q', () => {}, { connection, signal: AbortSignal.abort() })).toThrow('no option `signal`')
    expect(() => create('q', () => {}, { connection, concurrency: Infinity })).toThrow('`concurrency`')
    expect(() => create('q', () => {}, { connection, limiter: { max: 0, duration: 5 } })).toThrow('`limiter.max`')
    expect(() => create('q', () => {}, { connection, limiter: { max: 1 } })).toThrow('`limiter.duration`')
  })
})

describe('batchWorker', () => {
  it.each([
    ['redis://127.0.0.1', { host: '127.0.0.1', port: 6379, db: 0 }],
    ['redis://[::1]:7000/2', { host: '::1', port: 7000, db: 2 }],
    ['redis://me:p%40ss@127.0.0.1:7', { host: '127.0.0.1', port: 7, db: 0, username: 'me', password: 'p@ss' }],
    ['rediss://:p%40ss@127.0.0.1:7', { host: '127.0.0.1', port: 7, db: 0, password: 'p@ss', tls: {} }],
  ])('takes the address %s apart', async (connection, expected) => {
    const worker = batchWorker('q', () => {}, { connection })
    // Nobody needs to be there.
    worker.on('error', () => {})
    const { opts } = worker as unknown as { readonly opts: { readonly connection: unknown } }
    expect(opts.connection).toEqual(expected)
    await worker.close(true)
  })

  it.each([
    ['bullmq', 'MODULE_NOT_FOUND', '`batchWorker` needs a package that is not installed: npm i bullmq ioredis'],
    ['bullmq', 'ERR_DLOPEN_FAILED', 'from within'],
    ['ioredis', 'MODULE_NOT_FOUND', '`batchWorker` needs a package that is not installed: npm i bullmq ioredis'],
    ['ioredis', 'ERR_DLOPEN_FAILED', 'from within'],
  ])('tells an absent %s from a broken one: %s', (name, code, message) => {
    const { cache, resolve } = createRequire(import.meta.url)
    const file = resolve(name)
    const loaded = cache[file]
    delete cache[file]
    const hooks = registerHooks({
      resolve(specifier, context, next) {
        if (specifier === name) throw Object.assign(new Error('from within'), { code })
        return next(specifier, context)
      },
    })
    try {
      expect(() => batchWorker('q', () => {}, { connection: 'redis://127.0.0.1' })).toThrow(message)
    } finally {
      hooks.deregister()
      if (loaded !== undefined) cache[file] = loaded
    }
  })
})
