import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { Kysely, MysqlDialect, SqliteDialect, sql } from 'kysely'
import { createPool } from 'mysql2'
import {
  batchProcess,
  batchProcessChunks,
  type CheckpointStore,
  fileCheckpoints,
  kyselyCheckpoints,
  mapBatches,
  memoryCheckpoints,
  type ResumableSource,
} from 'posthaste'
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { services } from '../../support/services.ts'

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

/** Values that are no checkpoint. */
const damaged: readonly unknown[] = [
  5,
  'text',
  true,
  [],
  {},
  { processed: -5 },
  { processed: Number.NaN },
  { processed: 2.5 },
  { processed: '1' },
  { processed: 1n },
  { processed: 1e300 },
  { processed: Number.POSITIVE_INFINITY },
  { processed: null, cursor: 'c' },
  { processed: 1, cursor: 5 },
  { processed: 1, cursor: {} },
]

const folder = mkdtempSync(join(tmpdir(), 'posthaste-checkpoints-'))
const sqlite = () => new Kysely<never>({ dialect: new SqliteDialect({ database: new BetterSqlite3(':memory:') }) })
const table = `checkpoints_${process.pid}`
const servers = (['mariadb', 'mysql'] as const).flatMap((name) => {
  const url = services[name]
  return url === undefined
    ? []
    : [[name, new Kysely<never>({ dialect: new MysqlDialect({ pool: createPool(url) }) })] as const]
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  for (const [, db] of servers) {
    await db.schema.dropTable(table).ifExists().execute()
    await db.destroy()
  }
})

const stores: readonly (readonly [string, () => CheckpointStore])[] = [
  ['memory', () => memoryCheckpoints()],
  ['file', () => fileCheckpoints(join(folder, 'made', 'on', 'demand'))],
  ['Kysely', () => kyselyCheckpoints(sqlite())],
  ...servers.map(([name, db]) => [name, () => kyselyCheckpoints(db, { table })] as const),
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

  it('keeps keys apart that look alike to a file system or a collation', async () => {
    const store = createStore()
    const keys = ['a', 'A', 'á', 'a ', 'a/b', 'a_b', '../a', '.', 'ü', 'x'.repeat(250)]
    for (const [processed, key] of keys.entries()) await store.save(key, { processed })
    for (const [processed, key] of keys.entries()) expect(await store.load(key)).toEqual({ processed })
  })
})

describe.each(servers)('kyselyCheckpoints on %s', (name, db) => {
  it('keeps cursors that the character set of the database lacks', async () => {
    const database = `${table}_latin`
    await sql`create database ${sql.id(database)} character set latin1`.execute(db)
    onTestFinished(async () => void (await sql`drop database ${sql.id(database)}`.execute(db)))
    const store = kyselyCheckpoints(db.withSchema(database))
    await store.save('ключ', { processed: 1, cursor: 'Ω 🚀' })
    expect(await store.load('ключ')).toEqual({ processed: 1, cursor: 'Ω 🚀' })
  })

  it('saves the same again where the connection counts only rows that change', async () => {
    const url = services[name] as string
    const counting = new Kysely<never>({
      dialect: new MysqlDialect({ pool: createPool({ uri: url, flags: ['-FOUND_ROWS'] }) }),
    })
    onTestFinished(() => counting.destroy())
    const store = kyselyCheckpoints(counting, { table })
    for (let time = 0; time < 3; time += 1) await store.save('same', { processed: 7, cursor: 'c' })
    expect(await store.load('same')).toEqual({ processed: 7, cursor: 'c' })
  })
})

describe('fileCheckpoints', () => {
  it("does not need `sync` of the file's handle, which Yarn's Plug'n'Play lacks", async () => {
    const handle = await open(folder)
    await handle.close()
    const sync = vi.spyOn(Object.getPrototypeOf(handle), 'sync').mockRejectedValue(new Error('Method not implemented.'))
    onTestFinished(() => sync.mockRestore())
    const store = fileCheckpoints(folder)
    await store.save('yarn', { processed: 3 })
    expect(await store.load('yarn')).toMatchObject({ processed: 3 })
  })

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
    const texts = ['', '{"proc', '[]', 'null', '5', '"text"', '{"name":"another","version":"1.0.0"}']
    for (const text of [
      ...texts,
      ...damaged.filter((value) => typeof Object(value).processed !== 'bigint').map((value) => JSON.stringify(value)),
      '{"processed":1e999}',
    ]) {
      writeFileSync(join(own, file), text)
      await expect(store.load('k')).rejects.toThrow(`Expected a checkpoint in ${join(own, file)}`)
    }
  })
})

describe('a damaged checkpoint', () => {
  it.each(damaged)('is refused, and named, whatever store returns it: %o', async (value) => {
    const process = vi.fn(() => [])
    const store = { ...memoryCheckpoints(), load: async () => value as never }
    const checkpoint = { key: 'reindex', store }
    await expect(batchProcess([1], process, { checkpoint })).rejects.toThrow(
      /^Expected the checkpoint 'reindex' to have /,
    )
    await expect(batchProcessChunks([1], process, { checkpoint })).rejects.toThrow("the checkpoint 'reindex'")
    await expect(mapBatches([1], process, { checkpoint }).next()).rejects.toThrow("the checkpoint 'reindex'")
    expect(process).not.toHaveBeenCalled()
  })

  it.each([-5, 2.5, 'abc', '', '9007199254740993', null, 1e300])('in a table is refused: %o', async (processed) => {
    const database = new BetterSqlite3(':memory:')
    database.exec('create table progress (key text primary key, processed, cursor text)')
    database.prepare('insert into progress values (?, ?, null)').run('k', processed)
    const db = new Kysely<never>({ dialect: new SqliteDialect({ database }) })
    const store = kyselyCheckpoints(db, { table: 'progress' })
    await expect(store.load('k')).rejects.toThrow(
      "Expected the checkpoint 'k' in table progress to have a whole number",
    )
    await expect(batchProcess([1], () => 1, { transaction: db, checkpoint: { key: 'k', store } })).rejects.toThrow(
      "the checkpoint 'k' in table progress",
    )
  })

  it('is none if the store has `null` for nothing', async () => {
    const store = { ...memoryCheckpoints(), load: async () => null as never }
    expect(await batchProcess([1], (item) => item, { checkpoint: { key: 'k', store } })).toMatchObject({ results: [1] })
  })

  it('cannot be made by wrong arguments', () => {
    expect(() => fileCheckpoints(undefined as never)).toThrow('Expected `folder` to be a string that is not empty')
    expect(() => kyselyCheckpoints({} as never)).toThrow('Expected `db.selectFrom` to be a function')
    expect(() => kyselyCheckpoints(sqlite(), { table: '' })).toThrow('`table`')
    expect(() => kyselyCheckpoints(sqlite(), { tables: 'x' } as never)).toThrow('did you mean `table`?')
  })
})

describe('kyselyCheckpoints', () => {
  it('tells why it cannot read', async () => {
    const database = new BetterSqlite3(':memory:')
    const db = new Kysely<never>({ dialect: new SqliteDialect({ database }) })
    database.close()
    await expect(kyselyCheckpoints(db).load('k')).rejects.toThrow('The database connection is not open')
  })

  it('tells why it cannot create its table', async () => {
    const path = join(folder, 'readonly.db')
    new BetterSqlite3(path).exec('create table other (id int)').close()
    const database = new BetterSqlite3(path, { readonly: true })
    const db = new Kysely<never>({ dialect: new SqliteDialect({ database }) })
    onTestFinished(() => db.destroy())
    await expect(kyselyCheckpoints(db).load('k')).rejects.toMatchObject({
      message: 'no such table: posthaste_checkpoints',
      cause: { message: 'attempt to write a readonly database' },
    })
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

  it('does not give a run the checkpoint of another one, whatever collation the table has', async () => {
    const db = sqlite()
    await sql`create table old (key varchar(255) collate nocase primary key, processed bigint, cursor text)`.execute(db)
    const store = kyselyCheckpoints(db, { table: 'old' })
    await store.save('job', { processed: 7 })
    const run = batchProcess([1, 2], (item) => item, { checkpoint: { key: 'Job', store } })
    await expect(run).rejects.toThrow("The checkpoints 'Job' and 'job' share a row of table old")
    expect(await store.load('job')).toEqual({ processed: 7 })
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
    const others = Promise.withResolvers<void>()
    const run = batchProcessChunks(
      range(50),
      async (chunk, { batch, signal }) => {
        // The second chunk ends last, with an error.
        if (batch === 1) {
          await others.promise
          throw new Error('no')
        }
        signal.throwIfAborted()
        return [...chunk]
      },
      {
        batchSize: 10,
        concurrency: 2,
        checkpoint,
        onProgress: ({ processed }) => processed === 40 && others.resolve(),
      },
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

  it('keeps taking cursors after a resumption, also where `resumeFrom` returns a plain generator', async () => {
    const checkpoint = { key: 'k', store: memoryCheckpoints() }
    const reads: number[] = []
    async function* list(from: number) {
      for (let id = from; id < 9; id++) {
        reads.push(id)
        yield { id, cursor: String(id) }
      }
    }
    const source = {
      resumeFrom: (after: string) => list(Number(after) + 1),
      [Symbol.asyncIterator]: () => list(0),
    }
    for (const failAt of [2, 5, -1]) {
      const run = batchProcess(
        source,
        ({ id }) => {
          if (id === failAt) throw new Error('no')
        },
        { checkpoint, batchSize: 1, concurrency: 1 },
      )
      await run.catch(() => {})
    }
    expect(reads).toEqual([0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8])
    expect(await checkpoint.store.load('k')).toEqual({ processed: 9, cursor: '8' })
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
      'Expected `checkpoint.key` to be a string of whole characters, got `7` (number)',
    )
  })
})
