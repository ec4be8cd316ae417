import type { Kysely } from 'kysely'
import { checkpointAt } from './checkpointer.ts'
import type { Checkpoint, TransactionalCheckpointStore } from './checkpoints.ts'

/** Options of {@link kyselyCheckpoints}. */
export interface KyselyCheckpointsOptions {
  /** @defaultValue 'posthaste_checkpoints' */
  readonly table?: string | undefined
}

/** The table as Kysely sees it, whatever its real name. */
interface Tables {
  checkpoints: { key: string; processed: number; cursor: string | null }
}

/**
 * Checkpoints in a table of a database, which is made when it is missing: `key varchar(255) primary key, processed bigint
 * not null, cursor text`. With the `transaction` option of a run they commit together with its work.
 *
 * @param db - for `transaction`, the same database as the work's
 */
export function kyselyCheckpoints<DB>(
  db: Kysely<DB>,
  options: KyselyCheckpointsOptions = {},
): TransactionalCheckpointStore {
  const table = (options.table ?? 'posthaste_checkpoints') as 'checkpoints'
  const tables = db as unknown as Kysely<Tables>

  const update = (trx: Kysely<Tables>, key: string, { processed, cursor }: Checkpoint) =>
    trx
      .updateTable(table)
      .set({ processed, cursor: cursor ?? null })
      .where('key', '=', key)
  const insert = (key: string, { processed, cursor }: Checkpoint) =>
    tables
      .insertInto(table)
      .values({ key, processed, cursor: cursor ?? null })
      .execute()

  /** No question but the real one tells on every database whether the table is there. */
  const withTable = async <Value>(use: () => Promise<Value>): Promise<Value> => {
    try {
      return await use()
    } catch {
      // Whether this fails, or another process was faster: the second try tells.
      await createTable(tables, table).catch(() => {})
      return use()
    }
  }

  const store: TransactionalCheckpointStore = {
    load: (key) => withTable(() => read(tables, table, key)),
    async save(key, checkpoint) {
      if (await withTable(() => changed(update(tables, key, checkpoint)))) return
      // Between the two statements another process may have inserted it.
      await insert(key, checkpoint).catch(async (error) => {
        if (!(await changed(update(tables, key, checkpoint)))) throw error
      })
    },
    async clear(key) {
      await withTable(() => tables.deleteFrom(table).where('key', '=', key).execute())
    },
    async open(key) {
      const saved = await store.load(key)
      if (saved !== undefined) return saved
      const start = { processed: 0 }
      try {
        await insert(key, start)
        return start
      } catch (error) {
        // Meanwhile another process may have inserted it.
        const inserted = await store.load(key)
        if (inserted === undefined) throw error
        return inserted
      }
    },
    advance(trx, key, from, to) {
      return changed(update(trx as unknown as Kysely<Tables>, key, to).where('processed', '=', from))
    },
    loadWithin(trx, key) {
      return read(trx as unknown as Kysely<Tables>, table, key)
    },
  }
  return store
}

async function read(db: Kysely<Tables>, table: 'checkpoints', key: string): Promise<Checkpoint | undefined> {
  const row = await db.selectFrom(table).select(['processed', 'cursor']).where('key', '=', key).executeTakeFirst()
  // Drivers return a bigint as a string, a bigint or a number.
  return row && checkpointAt(Number(row.processed), row.cursor ?? undefined)
}

async function changed(query: { executeTakeFirst(): Promise<{ numUpdatedRows: bigint }> }): Promise<boolean> {
  return (await query.executeTakeFirst()).numUpdatedRows > 0n
}

async function createTable(db: Kysely<Tables>, table: string): Promise<void> {
  await db.schema
    .createTable(table)
    .addColumn('key', 'varchar(255)', (column) => column.notNull().primaryKey())
    .addColumn('processed', 'bigint', (column) => column.notNull())
    .addColumn('cursor', 'text')
    .execute()
}
