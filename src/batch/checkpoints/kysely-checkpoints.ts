import type { Expression, Kysely, KyselyPlugin, OperationNode } from 'kysely'
import { expectObject, expectOptions, type OptionKinds } from '../../shared/arguments.ts'
import { PosthasteError } from '../../shared/errors.ts'
import { dialectOf, markIntendedQuery } from '../../shared/sql/statement.ts'
import { type Checkpoint, parseCheckpoint, type TransactionalCheckpointStore } from './checkpoint-store.ts'

export interface KyselyCheckpointsOptions {
  /** @defaultValue 'posthaste_checkpoints' */
  readonly table?: string | undefined
}

const kyselyCheckpointsOptions: OptionKinds<KyselyCheckpointsOptions> = { table: 'text' }

/** The table for Kysely's types. Its real name may be different. */
interface Tables {
  checkpoints: { key: string | Uint8Array; processed: number; cursor: string | null }
}

/**
 * Keeps checkpoints in a table, which is created if it does not exist:
 *
 * - `key varchar(255) primary key`; on MySQL `varbinary(1020)`, because texts there are equal whatever their case
 * - `processed bigint not null`
 * - `cursor text`; on MySQL with `character set utf8mb4`
 *
 * With the `transaction` option of a run, a checkpoint commits together with the work.
 *
 * @param db - for the `transaction` option, it must be the database of the work
 */
export function kyselyCheckpoints<DB>(
  db: Kysely<DB>,
  options: KyselyCheckpointsOptions = {},
): TransactionalCheckpointStore {
  expectObject(db, 'db', ['selectFrom', 'insertInto', 'updateTable', 'deleteFrom'])
  expectOptions(options, kyselyCheckpointsOptions)
  const table = (options.table ?? 'posthaste_checkpoints') as 'checkpoints'
  const tables = withMarks(db)

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

  /** Runs the query, and creates the table if it fails. No other check for the table works on every database. */
  const withTable = async <Value>(query: () => Promise<Value>): Promise<Value> => {
    try {
      return await query()
    } catch (error) {
      // An exceeded query budget or a timeout says nothing about the table.
      if (error instanceof PosthasteError) throw error
      // Another process may create the table first. If creating it fails for another reason, the query fails again.
      const refusal = await createTable(tables, table).catch((reason: unknown) => reason)
      return query().catch((failure) => {
        if (refusal !== undefined && failure instanceof Error) failure.cause ??= refusal
        throw failure
      })
    }
  }

  const store: TransactionalCheckpointStore = {
    load: (key) => withTable(() => read(tables, table, key)),
    async save(key, checkpoint) {
      if (await withTable(() => updatesRow(update(tables, key, checkpoint)))) return
      // Another process may have inserted the row since the update.
      await insert(key, checkpoint).catch(async (error) => {
        // Without the flag FOUND_ROWS, MySQL does not count a row that already has the new values.
        if (!(await updatesRow(update(tables, key, checkpoint))) && (await store.load(key)) === undefined) throw error
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
        // Another process may have inserted the row since the load.
        const inserted = await store.load(key)
        if (inserted === undefined) throw error
        return inserted
      }
    },
    advance(trx, key, from, to) {
      return updatesRow(update(withMarks(trx), key, to).where('processed', '=', from))
    },
    loadWithin(trx, key) {
      return read(withMarks(trx), table, key)
    },
  }
  return store
}

/** A Kysely whose queries are marked as intended: each batch repeats them, but that is no N+1. */
function withMarks<DB>(db: Kysely<DB>): Kysely<Tables> {
  return db.withPlugin(marking) as unknown as Kysely<Tables>
}

const marking: KyselyPlugin = {
  transformQuery({ node }) {
    const marked = { ...node }
    markIntendedQuery(marked)
    return marked
  },
  transformResult: ({ result }) => Promise.resolve(result),
}

async function read(db: Kysely<Tables>, table: 'checkpoints', key: string): Promise<Checkpoint | undefined> {
  const row = await db
    .selectFrom(table)
    .select(['key', 'processed', 'cursor'])
    .where('key', '=', key)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const found = typeof row.key === 'string' ? row.key : Buffer.from(row.key).toString()
  if (found !== key) {
    throw new Error(
      `The checkpoints '${key}' and '${found}' share a row of table ${table}: give its \`key\` a binary collation`,
    )
  }
  return parseCheckpoint({ ...row, processed: toNumber(row.processed) }, `the checkpoint '${key}' in table ${table}`)
}

/** Drivers return a bigint as a string, a bigint or a number. Anything else is left as it is. */
function toNumber(value: unknown): unknown {
  const isNumeric = typeof value === 'bigint' || (typeof value === 'string' && /^-?\d+$/.test(value))
  return isNumeric ? Number(value) : value
}

async function updatesRow(query: { executeTakeFirst(): Promise<{ numUpdatedRows: bigint }> }): Promise<boolean> {
  return (await query.executeTakeFirst()).numUpdatedRows > 0n
}

async function createTable(db: Kysely<Tables>, table: string): Promise<void> {
  const isMysql = dialectOf(db.getExecutor()) === 'mysql'
  await db.schema
    .createTable(table)
    .addColumn('key', isMysql ? 'varbinary(1020)' : 'varchar(255)', (column) => column.notNull().primaryKey())
    .addColumn('processed', 'bigint', (column) => column.notNull())
    // On MySQL, the database may have a character set that lacks letters of the cursor.
    .addColumn('cursor', isMysql ? wideText : 'text')
    .execute()
}

/** Written as a node, so that this feature does not load Kysely. */
const wideText: Expression<string> = {
  expressionType: undefined,
  toOperationNode: () =>
    ({ kind: 'RawNode', sqlFragments: ['text character set utf8mb4'], parameters: [] }) as OperationNode,
}
