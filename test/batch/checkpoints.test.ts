import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import {
  batchProcess,
  batchProcessChunks,
  type CheckpointStore,
  fileCheckpoints,
  kyselyCheckpoints,
  memoryCheckpoints,
  type ResumableSource,
} from 'posthaste'
import { afterAll, describe, expect, it } from 'vitest'

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

const folder = mkdtempSync(join(tmpdir(), 'posthaste-checkpoints-'))
const sqlite = () => new Kysely<never>({ dialect: new SqliteDialect({ database: new BetterSqlite3(':memory:') }) })
afterAll(() => rmSync(folder, { recursive: true }))

const stores: readonly (readonly [string, () => CheckpointStore])[] = [
  ['memory', () => memoryCheckpoints()],
  ['file', () => fileCheckpoints(join(folder, 'made', 'on', 'demand'))],
  ['Kysely', () => kyselyCheckpoints(sqlite())],
]

describe.each(stores)('the %s checkpoint store', (_name, createStore) => {
  it('keeps, replaces and forgets a checkpoint', async () => {
    const store = createStore()
    expect(await store.load('a')).toBe(undefined)
    await store.save('a', { processed: 5 })
    expect(await store.load('a')).toEqual({ processed: 5 })
    await store.save('a', { processed: 9, cursor: 'c' })
    expect(await store.load('a')).toEqual({ processed: 9, cursor: 'c' })
    await store.clear('a')
    await store.clear('a')
    expect(await store.load('a')).toBe(undefined)
  })

  it('keeps keys apart that look alike to a file system', async () => {
    const store = createStore()
    const keys = ['a', 'A', 'a/b', 'a_b', '../a', '.', 'ü', 'x'.repeat(250)]
    for (const [processed, key] of keys.entries()) await store.save(key, { processed })
    for (const [processed, key] of keys.entries()) expect(await store.load(key)).toEqual({ processed })
  })
})

describe('fileCheckpoints', () => {
  it('tells why it cannot read: a file stands where the folder should be', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    await expect(fileCheckpoints(file).load('k')).rejects.toMatchObject({ code: 'ENOTDIR' })
  })

  it('leaves no other file behind', async () => {
    const own = join(folder, 'own')
    const store = fileCheckpoints(own)
    await Promise.all(range(5).map((processed) => store.save('k', { processed })))
    expect(readdirSync(own)).toHaveLength(1)
  })

  it('says which file is damaged', async () => {
    const own = join(folder, 'damaged')
    const store = fileCheckpoints(own)
    await store.save('k', { processed: 1 })
    const [file = ''] = readdirSync(own)
    for (const text of ['{"proc', '[]', '{"processed":"1"}']) {
      writeFileSync(join(own, file), text)
      await expect(store.load('k')).rejects.toThrow(`Expected a checkpoint in ${join(own, file)}`)
    }
  })
})

describe('kyselyCheckpoints', () => {
  it('tells why it cannot read', async () => {
    const database = new BetterSqlite3(':memory:')
    const db = new Kysely<never>({ dialect: new SqliteDialect({ database }) })
    database.close()
    await expect(kyselyCheckpoints(db).load('k')).rejects.toThrow('The database connection is not open')
  })

  it('takes the row that another run inserts at the same moment', async () => {
    const db = sqlite()
    const [one, other] = [kyselyCheckpoints(db), kyselyCheckpoints(db)]
    await one.clear('k')
    // Both find nothing to update before either inserts.
    await Promise.all([one.save('k', { processed: 1 }), other.save('k', { processed: 2 })])
    expect(await one.load('k')).toEqual({ processed: 2 })
    await one.clear('k')
    expect(await Promise.all([one.open('k'), other.open('k')])).toEqual([{ processed: 0 }, { processed: 0 }])
  })

  it('tells why it cannot write', async () => {
    const database = new BetterSqlite3(':memory:')
    database.exec('create table progress (key text primary key, processed integer check (processed < 0), cursor text)')
    const db = new Kysely<never>({ dialect: new SqliteDialect({ database }) })
    const store = kyselyCheckpoints(db, { table: 'progress' })
    await expect(store.save('k', { processed: 9 })).rejects.toThrow('CHECK constraint failed')
    await expect(store.open('k')).rejects.toThrow('CHECK constraint failed')
  })

  it('takes a table of another name', async () => {
    const db = sqlite()
    await kyselyCheckpoints(db, { table: 'progress' }).save('k', { processed: 3 })
    const tables = db as unknown as Kysely<{ progress: { key: string; processed: number } }>
    expect(await tables.selectFrom('progress').select(['key', 'processed']).execute()).toEqual([
      { key: 'k', processed: 3 },
    ])
  })
})

describe('a run with a checkpoint', () => {
  it('goes on behind the batches that were finished, and finds nothing to do when all were', async () => {
    const checkpoint = { key: 'k', store: memoryCheckpoints() }
    const seen: number[] = []
    const run = (failAt: number) =>
      batchProcess(
        range(10),
        (item, { index, key }) => {
          expect({ index, key }).toEqual({ index: item, key: `k:${item}` })
          if (item === failAt) throw new Error('no')
          seen.push(item)
        },
        { checkpoint, batchSize: 3, concurrency: 1 },
      )
    await expect(run(7)).rejects.toMatchObject({ result: { processed: 8, resumed: 0 } })
    expect(await checkpoint.store.load('k')).toEqual({ processed: 6 })
    expect(await run(-1)).toMatchObject({ processed: 4, resumed: 6 })
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9])
    expect(await run(-1)).toMatchObject({ processed: 0, resumed: 10 })
    expect(seen).toHaveLength(11)
  })

  it('counts no batch that lies behind an unfinished one', async () => {
    const checkpoint = { key: 'k', store: memoryCheckpoints() }
    const run = batchProcessChunks(
      range(50),
      async (chunk, { batch, signal }) => {
        // The second chunk ends last, with an error.
        if (batch === 1) {
          await new Promise((resolve) => setTimeout(resolve, 20))
          throw new Error('no')
        }
        signal.throwIfAborted()
        return [...chunk]
      },
      { batchSize: 10, concurrency: 2, checkpoint },
    )
    await expect(run).rejects.toMatchObject({ result: { batches: 4 } })
    expect(await checkpoint.store.load('k')).toEqual({ processed: 10 })
  })

  it('steps over items that were skipped', async () => {
    const checkpoint = { key: 'k', store: memoryCheckpoints() }
    const fail = (item: number) => {
      if (item % 4 === 0) throw new Error('no')
    }
    await batchProcess(range(10), fail, { checkpoint, batchSize: 3, onError: 'skip' })
    expect(await checkpoint.store.load('k')).toEqual({ processed: 10 })
  })

  it('reads a source again that cannot seek, up to its end if it has become shorter', async () => {
    const items = (count: number) => ({
      values: () => range(count).values(),
      async *asynchronous() {
        yield* range(count)
      },
    })
    for (const kind of ['values', 'asynchronous'] as const) {
      const checkpoint = { key: kind, store: memoryCheckpoints() }
      await checkpoint.store.save(kind, { processed: 6, cursor: 'of another source' })
      const run = (count: number) =>
        batchProcess(items(count)[kind](), (item, { index }) => [item, index], { checkpoint })
      expect(await run(8)).toMatchObject({
        results: [
          [6, 6],
          [7, 7],
        ],
        resumed: 6,
      })
      expect(await run(3)).toMatchObject({ processed: 0, resumed: 8 })
    }
  })

  it('saves no cursor where the items of a source have none', async () => {
    const checkpoint = { key: 'k', store: memoryCheckpoints() }
    const source = (items: readonly unknown[]) => ({
      resumeFrom: () => source([]),
      async *[Symbol.asyncIterator]() {
        yield* items
      },
    })
    for (const [done, item] of [null, 'text', { cursor: 7 }].entries()) {
      await checkpoint.store.save('k', { processed: 0 })
      await batchProcess(source([item]), () => done, { checkpoint })
      expect(await checkpoint.store.load('k')).toEqual({ processed: 1 })
    }
  })

  it('seeks in a source that can', async () => {
    const checkpoint = { key: 'k', store: memoryCheckpoints() }
    const reads: number[] = []
    const source = (from = 0): ResumableSource<number> => {
      let cursor: string | null = null
      return {
        get cursor() {
          return cursor
        },
        resumeFrom: (after) => source(Number(after) + 1),
        async *[Symbol.asyncIterator]() {
          for (let item = from; item < 10; item++) {
            reads.push(item)
            cursor = String(item)
            yield item
          }
        },
      }
    }
    const run = (failAt: number) =>
      batchProcess(
        source(),
        (item) => {
          if (item === failAt) throw new Error('no')
        },
        { checkpoint, batchSize: 3, concurrency: 2 },
      )
    await expect(run(8)).rejects.toThrow()
    expect(await checkpoint.store.load('k')).toEqual({ processed: 6, cursor: '5' })
    reads.length = 0
    await run(-1)
    expect(reads).toEqual([6, 7, 8, 9])
    expect(await checkpoint.store.load('k')).toEqual({ processed: 10, cursor: '9' })
  })

  it('takes the cursor from the items where the source has none, as with `readChunks`', async () => {
    const checkpoint = { key: 'k', store: memoryCheckpoints() }
    const source = (from = 0) => ({
      resumeFrom: (after: string) => source(Number(after) + 1),
      async *[Symbol.asyncIterator]() {
        for (let item = from; item < 4; item++) yield { rows: [item], cursor: String(item) }
      },
    })
    const run = (failAt: number) =>
      batchProcess(
        source(),
        ({ cursor }) => {
          if (cursor === String(failAt)) throw new Error('no')
          return cursor
        },
        { checkpoint, batchSize: 1, concurrency: 1 },
      )
    await expect(run(2)).rejects.toThrow()
    expect(await checkpoint.store.load('k')).toEqual({ processed: 2, cursor: '1' })
    expect((await run(-1)).results).toEqual(['2', '3'])
  })

  it('stops when the checkpoint cannot be saved', async () => {
    const store = { ...memoryCheckpoints(), save: () => Promise.reject(new Error('disk full')) }
    const run = batchProcess(range(10), () => 1, { checkpoint: { key: 'k', store }, batchSize: 3 })
    await expect(run).rejects.toThrow('disk full')
  })

  it('rests on whole saves only, however slow they are: nothing is lost at any point', async () => {
    const memory = memoryCheckpoints()
    let saving = 0
    const store = {
      ...memory,
      async save(key: string, checkpoint: { processed: number }) {
        expect(++saving).toBe(1)
        await new Promise((resolve) => setTimeout(resolve, 3))
        saving--
        await memory.save(key, checkpoint)
      },
    }
    const done = new Set<number>()
    await batchProcess(
      range(60),
      async (item) => {
        await null
        const { processed = 0 } = (await memory.load('k')) ?? {}
        for (const before of range(processed)) expect(done.has(before)).toBe(true)
        done.add(item)
      },
      { checkpoint: { key: 'k', store }, batchSize: 4, concurrency: 8 },
    )
    expect(await memory.load('k')).toEqual({ processed: 60 })
  })

  it('needs a key that is a string', async () => {
    const checkpoint = { key: 7 as never, store: memoryCheckpoints() }
    await expect(batchProcess([1], () => 1, { checkpoint })).rejects.toThrow(
      'Expected `checkpoint.key` to be a string, got `7` (number)',
    )
  })
})
