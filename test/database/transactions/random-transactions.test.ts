import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { instrument, nodeSqlite } from 'posthaste'
import { expect, it, onTestFinished } from 'vitest'

const tables = ['a', 'b'] as const
const control = [
  ...['begin', 'BEGIN IMMEDIATE', '/* begins */ begin', 'begin; -- again', 'commit', 'END TRANSACTION', 'rollback'],
  ...['savepoint one', 'SAVEPOINT "One"', 'savepoint two', 'release one', 'RELEASE SAVEPOINT ONE', 'release two'],
  ...['rollback to one', 'ROLLBACK TRANSACTION TO SAVEPOINT "one"', 'rollback to two'],
]
const step = fc.oneof(
  fc.record({ table: fc.constantFrom(...tables), fails: fc.boolean() }),
  fc.constantFrom(...control).map((text) => ({ text })),
)

it('tables whose committed rows have changed are told by the end of the statement', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-transactions-'))
  const file = join(folder, 'database')
  const reader = new DatabaseSync(file)
  reader.exec('pragma journal_mode = wal')
  for (const table of tables) reader.exec(`create table ${table} (n integer not null); insert into ${table} values (0)`)
  const told = new Set<string>()
  const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(file)) })
  const invalidates = {
    invalidateTags: async (...tags: readonly string[]) => {
      for (const tag of tags) told.add(tag)
    },
  }
  const db = new Kysely<Record<string, { n: number | null }>>(
    instrument({ dialect }, { invalidates, onWarn: () => {} }),
  )
  onTestFinished(async () => {
    await db.destroy()
    reader.close()
    rmSync(folder, { recursive: true })
  })
  const committed = () => tables.map((table) => reader.prepare(`select n from ${table}`).get()?.n)

  const property = fc.asyncProperty(fc.array(step, { maxLength: 12, size: 'max' }), async (steps) => {
    await db.connection().execute(async (connection) => {
      // What the run before has left open.
      await sql`rollback`.execute(connection).catch(() => {})
      for (const step of steps) {
        const before = committed()
        told.clear()
        const run =
          'text' in step
            ? sql.raw(step.text).execute(connection)
            : connection
                .updateTable(step.table)
                .set({ n: step.fails ? null : sql<number>`n + 1` })
                .execute()
        await run.catch(() => {})
        const changed = tables.filter((_table, at) => committed()[at] !== before[at])
        expect([...told]).toEqual(expect.arrayContaining(changed.map((table) => `table:${table}`)))
      }
    })
  })
  await fc.assert(property, { numRuns: Number(process.env.RUNS ?? 150) })
})
