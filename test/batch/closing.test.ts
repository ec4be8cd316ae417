import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, SqliteDialect } from 'kysely'
import {
  asyncChunks,
  batchProcess,
  batchProcessChunks,
  type CheckpointStore,
  distributeBatches,
  kyselyCheckpoints,
  mapBatches,
  memoryCheckpoints,
} from 'posthaste'
import { describe, expect, it } from 'vitest'

const boom = new Error('boom')
const count = 30

/** What happened to a source. */
interface Seen {
  /** It reached its end, or threw: it must not be closed then. */
  isOver: boolean
  closed: number
}

interface Kind {
  readonly name: string
  create(seen: Seen): Iterable<number> | AsyncIterable<number>
}

const step = (seen: Seen, item: number) => {
  if (item >= count) seen.isOver = true
  return seen.isOver ? ({ done: true, value: undefined } as const) : ({ done: false, value: item } as const)
}
const done = { done: true, value: undefined } as const

function iteratorOf(seen: Seen, from = 0): IterableIterator<number> {
  let item = from
  return {
    next: () => step(seen, item++),
    return() {
      seen.closed++
      return done
    },
    [Symbol.iterator]() {
      return this
    },
  }
}

function asyncIteratorOf(seen: Seen, from = 0, wait: () => Promise<unknown> = async () => {}) {
  let item = from
  const iterator: AsyncIterableIterator<number> = {
    async next() {
      await wait()
      return step(seen, item++)
    },
    async return() {
      seen.closed++
      return done
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
  return iterator
}

const kinds: readonly Kind[] = [
  { name: 'an iterator', create: (seen) => iteratorOf(seen) },
  { name: 'an async iterator', create: (seen) => asyncIteratorOf(seen) },
  { name: 'a slow async iterator', create: (seen) => asyncIteratorOf(seen, 0, () => sleep(1)) },
  {
    name: 'a generator',
    create: (seen) => {
      const generator = (function* () {
        for (let item = 0; item < count; item++) yield item
        seen.isOver = true
      })()
      const { return: close } = generator
      return Object.assign(generator, {
        return(value: undefined) {
          seen.closed++
          return close.call(generator, value)
        },
      })
    },
  },
  {
    name: 'a stream',
    create: (seen) => {
      let item = 0
      return new Readable({
        objectMode: true,
        highWaterMark: 1,
        read() {
          seen.isOver = item === count
          this.push(seen.isOver ? null : item++)
        },
        destroy(error, callback) {
          // It is called at the end too.
          if (!seen.isOver) seen.closed++
          callback(error)
        },
      })
    },
  },
  {
    name: 'a web stream',
    create: (seen) => {
      let item = 0
      return new ReadableStream<number>({
        pull(controller) {
          seen.isOver = item === count
          if (seen.isOver) controller.close()
          else controller.enqueue(item++)
        },
        cancel() {
          seen.closed++
        },
      })
    },
  },
  {
    name: 'a source that resumes',
    create: (seen) => {
      const rest: Seen = { isOver: false, closed: 0 }
      return Object.assign(asyncIteratorOf(seen), {
        resumeFrom(cursor: string) {
          if (cursor === 'bad') throw boom
          return asyncIteratorOf(rest, Number(cursor))
        },
      })
    },
  },
]

const failing = (part: Partial<CheckpointStore>) => ({ key: 'k', store: { ...memoryCheckpoints(), ...part } })
const loading = (value: unknown) => failing({ load: async () => value as never })
const fail = () => {
  throw boom
}
const failLater = async () => {
  throw boom
}

/** Each ends a run before its input is over. */
const ways: readonly (readonly [name: string, options: () => Record<string, unknown>, processor?: unknown])[] = [
  ['a signal aborted before', () => ({ signal: AbortSignal.abort(boom) })],
  [
    'a signal aborted meanwhile',
    () => ({ signal: AbortSignal.timeout(5) }),
    (_: unknown, { signal }: { signal: AbortSignal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  ],
  [
    'a signal aborted while the checkpoint is loaded',
    () => {
      const controller = new AbortController()
      return {
        ...{ signal: controller.signal },
        checkpoint: failing({ load: async () => void controller.abort(boom) }),
      }
    },
  ],
  ['a checkpoint that cannot be loaded', () => ({ checkpoint: failing({ load: failLater }) })],
  ['a store that throws', () => ({ checkpoint: failing({ load: fail }) })],
  ['a damaged checkpoint', () => ({ checkpoint: loading({ processed: -5 }) })],
  ['a checkpoint that cannot be saved', () => ({ checkpoint: failing({ save: failLater }) })],
  ['a store without methods', () => ({ checkpoint: { key: 'k', store: {} } })],
  ['a wrong batch size', () => ({ batchSize: 0 })],
  ['an unknown option', () => ({ batchsize: 5 })],
  ['a wrong retry', () => ({ retry: null })],
  ['no options', () => null as never],
  ['a clock that throws', () => ({ clock: fail })],
  ['no processor', () => ({}), undefined],
  ['a processor that throws', () => ({}), fail],
  ['a processor that rejects', () => ({ concurrency: 3 }), failLater],
  ['an endless processor', () => ({ timeout: '1ms', grace: '1ms' }), () => new Promise(() => {})],
  ['`maxFailures`', () => ({ maxFailures: 2 }), fail],
  ['`onError` that throws', () => ({ onError: fail }), failLater],
  ['`onError` that rejects', () => ({ onError: failLater }), fail],
  ['`onError` that returns nonsense', () => ({ onError: () => 'ignore' }), fail],
  ['`onProgress` that throws', () => ({ onProgress: fail })],
  ['`shouldRetry` that throws', () => ({ retry: { shouldRetry: fail } }), fail],
  ['`onRetry` that throws', () => ({ retry: { onRetry: fail } }), fail],
  ['a transaction on no database', () => ({ transaction: {} })],
  ['a transaction that fails', () => ({ transaction: new Kysely({ dialect: new SqliteDialect({ database: fail }) }) })],
  [
    'a transaction whose checkpoint cannot be opened',
    () => {
      const db = new Kysely({ dialect: new SqliteDialect({ database: fail }) })
      return { transaction: db, checkpoint: { key: 'k', store: kyselyCheckpoints(db) } }
    },
  ],
]

/** Each calls `run` with a source, and expects that it rejects. */
async function expectClosed({ create }: Kind, run: (items: never) => unknown): Promise<void> {
  const seen: Seen = { isOver: false, closed: 0 }
  const items = create(seen)
  await expect((async () => run(items as never))()).rejects.toBeDefined()
  // Callers that cannot wait have closed it by then.
  expect(seen).toEqual({ isOver: false, closed: 1 })
}

describe.each(kinds)('$name is closed once', (kind) => {
  it.each(ways)('after %s', async (...way) => {
    const [, options, ...processor] = way as readonly unknown[] as (typeof ways)[number]
    const [process] = processor.length > 0 ? processor : [() => []]
    const settings = () => {
      const own = options()
      return own === null ? own : { batchSize: 2, ...own }
    }
    await expectClosed(kind, (items) => batchProcess(items, process as never, settings() as never))
    await expectClosed(kind, (items) => batchProcessChunks(items, process as never, settings() as never))
    if ('transaction' in (options() ?? {})) return
    await expectClosed(kind, async (items) => {
      for await (const _ of mapBatches(items, process as never, settings() as never));
    })
  })

  it('when `mapBatches` is left, before the first result or after', async () => {
    for (const reads of [0, 1, 3]) {
      const seen: Seen = { isOver: false, closed: 0 }
      const results = mapBatches(kind.create(seen) as never, (chunk: readonly number[]) => chunk, { batchSize: 2 })
      for (let read = 0; read < reads; read++) expect((await results.next()).value).toBe(read)
      expect(await results.return?.()).toEqual(done)
      expect(await results.return?.()).toEqual(done)
      expect(await results.next()).toEqual(done)
      expect(seen).toEqual({ isOver: false, closed: 1 })
    }
  })

  it('when `mapBatches` is left while a call is running', async () => {
    const seen: Seen = { isOver: false, closed: 0 }
    const process = (_: unknown, { signal }: { signal: AbortSignal }) =>
      new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const results = mapBatches(kind.create(seen) as never, process, { batchSize: 2 })
    const next = results.next()
    await sleep(5)
    await results.return?.()
    expect(await next).toEqual(done)
    expect(seen).toEqual({ isOver: false, closed: 1 })
  })

  it('when `asyncChunks` is refused, aborted, or left', async () => {
    const chunk = async (items: never, options?: unknown, size = 2) => {
      for await (const _ of asyncChunks(items, size, options as never));
    }
    await expectClosed(kind, (items) => chunk(items, {}, 0))
    await expectClosed(kind, (items) => chunk(items, null))
    await expectClosed(kind, (items) => chunk(items, { maxWait: 5 }))
    await expectClosed(kind, (items) => chunk(items, { maxwait: '5ms' }))
    await expectClosed(kind, (items) => chunk(items, { signal: 'abort' }))
    await expectClosed(kind, (items) => chunk(items, { signal: AbortSignal.abort(boom) }))
  })

  it('when `distributeBatches` is refused, or the queue fails', async () => {
    const queue = { addBulk: async () => [] }
    await expectClosed(kind, (items) => distributeBatches({} as never, items))
    await expectClosed(kind, (items) => distributeBatches(queue, items, { batchSize: 0 }))
    await expectClosed(kind, (items) => distributeBatches(queue, items, { key: 7 as never }))
    await expectClosed(kind, (items) => distributeBatches({ ...queue, getRanges: failLater }, items, { key: 'k' }))
    const refusing = { addBulk: failLater }
    const seen: Seen = { isOver: false, closed: 0 }
    const endless = kind.create(seen)
    // The first fifty batches are sent together.
    const many = distributeBatches(refusing, repeated(endless) as never, { batchSize: 1 })
    await expect(many).rejects.toBe(boom)
    expect(seen.closed + Number(seen.isOver)).toBe(1)
  })
})

/** A source with more items, which is closed when its first part is. */
async function* repeated(items: Iterable<number> | AsyncIterable<number>) {
  for await (const item of items) yield* [item, item, item, item]
}

describe('a source that is over', () => {
  it.each(kinds)('is not closed: $name', async ({ create }) => {
    const seen: Seen = { isOver: false, closed: 0 }
    await batchProcess(create(seen) as never, () => {})
    expect(seen).toEqual({ isOver: true, closed: 0 })
  })
})

describe('a source that resumes from a checkpoint', () => {
  const source = (seen: { first: Seen; rest: Seen }) =>
    Object.assign(asyncIteratorOf(seen.first), {
      resumeFrom(cursor: string) {
        if (cursor === 'bad') throw boom
        return asyncIteratorOf(seen.rest, Number(cursor))
      },
    })
  const create = () => ({ first: { isOver: false, closed: 0 }, rest: { isOver: false, closed: 0 } })

  it('is closed with the part that was read', async () => {
    const seen = create()
    const checkpoint = loading({ processed: 10, cursor: '10' })
    await expect(batchProcess(source(seen), fail, { checkpoint })).rejects.toBeDefined()
    expect(seen).toMatchObject({ first: { closed: 1 }, rest: { closed: 1 } })
  })

  it('is closed when the part is over', async () => {
    const seen = create()
    await batchProcess(source(seen), () => {}, { checkpoint: loading({ processed: 10, cursor: '10' }) })
    expect(seen).toMatchObject({ first: { closed: 1 }, rest: { isOver: true, closed: 0 } })
  })

  it('is closed when it cannot resume', async () => {
    const seen = create()
    const checkpoint = loading({ processed: 10, cursor: 'bad' })
    await expect(batchProcess(source(seen), fail, { checkpoint })).rejects.toBe(boom)
    expect(seen).toMatchObject({ first: { closed: 1 }, rest: { closed: 0 } })
  })
})

describe('a generator whose read is pending', () => {
  const pending = (wait: () => Promise<unknown>) => {
    const seen = { closed: false }
    async function* source() {
      try {
        for (let item = 0; ; item++) {
          if (item > 0) await wait()
          yield item
        }
      } finally {
        seen.closed = true
      }
    }
    return { seen, source: source() }
  }

  it('has ended when the run has', async () => {
    const failed = pending(() => sleep(20))
    await expect(batchProcess(failed.source, failLater)).rejects.toThrow()
    expect(failed.seen.closed).toBe(true)
    const left = pending(() => sleep(20))
    for await (const _ of mapBatches(left.source, (chunk) => chunk, { batchSize: 1 })) break
    expect(left.seen.closed).toBe(true)
  })

  it('is waited for no longer than `grace`', async () => {
    const { seen, source } = pending(() => new Promise(() => {}))
    await expect(batchProcess(source, failLater, { grace: '1ms' })).rejects.toThrow()
    expect(seen.closed).toBe(false)
  })
})

describe('a stream that has no more data for now', () => {
  const idleStreams: readonly (readonly [name: string, open: (onClose: () => void) => AsyncIterable<number>])[] = [
    [
      'a stream',
      (onClose) => {
        const destroy = (_error: unknown, callback: () => void) => {
          onClose()
          callback()
        }
        const stream = new Readable({ objectMode: true, read() {}, destroy })
        stream.push(1)
        return stream
      },
    ],
    [
      'a web stream',
      (onClose) => new ReadableStream({ start: (controller) => controller.enqueue(1), cancel: onClose }),
    ],
  ]

  it.each(idleStreams)('%s is closed though a read is pending', async (_name, open) => {
    const users: readonly ((items: AsyncIterable<number>, signal: AbortSignal) => Promise<unknown>)[] = [
      (items, signal) => asyncChunks(items, 5, { signal }).next(),
      (items, signal) => batchProcess(items, () => {}, { signal }),
      (items, signal) => mapBatches(items, (chunk) => chunk, { signal }).next(),
    ]
    for (const use of users) {
      let closed = 0
      await expect(
        use(
          open(() => closed++),
          AbortSignal.timeout(5),
        ),
      ).rejects.toThrow('aborted')
      expect(closed).toBe(1)
    }
    let closed = 0
    for await (const chunk of asyncChunks(
      open(() => closed++),
      5,
      { maxWait: '1ms' },
    )) {
      expect(chunk).toEqual([1])
      break
    }
    expect(closed).toBe(1)
  })
})

it('a source that hangs while it closes keeps no run from ending after an abort', async () => {
  for (const run of [batchProcess, batchProcessChunks]) {
    const controller = new AbortController()
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: false as const, value: 1 }),
        return: () => new Promise<never>(() => {}),
      }),
    }
    const aborted = run(source, () => controller.abort(boom), { signal: controller.signal, grace: '1ms' })
    await expect(aborted).rejects.toBe(boom)
  }
})
