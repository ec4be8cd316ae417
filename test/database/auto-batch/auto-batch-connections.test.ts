import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresDialect,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  sql,
} from 'kysely'
import pg from 'pg'
import { instrument, type QueryEvent } from 'posthaste'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { services } from '../../support/services.ts'

interface Tables {
  city: { id: number; connection: number }
}

interface Catalog {
  pg_type: { typname: string }
}

describe('connections of autoBatch', () => {
  const use = fc.record({
    db: fc.nat({ max: 1 }),
    kind: fc.constantFrom<Kind>('query', 'compiled query', 'connection', 'transaction', 'compiled for another'),
    /** When each of its queries is compiled. */
    compiled: fc.array(fc.constantFrom<Time>('at load', 'right before', 'inside'), { minLength: 1, maxLength: 3 }),
    waits: fc.boolean(),
  })

  it('runs all queries of db.connection() and of a transaction on their own connection, whenever they were compiled', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(use, { maxLength: 5 }), { minLength: 1, maxLength: 3 }), async (turns) => {
        const dbs = [open(), open()]
        const atLoad = dbs.map((db) => select(db).compile())
        for (const uses of turns) {
          const seen = await Promise.all(
            uses.map(({ db, kind, compiled, waits }) =>
              connectionsOf(kind, dbs[db] as Kysely<Tables>, atLoad[db] as Compiled, compiled, waits),
            ),
          )
          const sessions = seen.filter((_, index) => /^conn|^trans/.test(uses[index]?.kind as string))
          expect(sessions.map((session) => new Set(session).size)).toEqual(sessions.map(() => 1))
        }
        await Promise.all(dbs.map((db) => db.destroy()))
      }),
      { numRuns: Number(process.env.RUNS ?? 200) },
    )
  })

  it.skipIf(!services.postgres)(
    'runs no query on the connection of a query that nobody waited for, while another transaction has it',
    async () => {
      const dialect = new PostgresDialect({ pool: new pg.Pool({ connectionString: services.postgres, max: 1 }) })
      const db = new Kysely<Catalog>(instrument({ dialect }, { autoBatch: true }))
      onTestFinished(() => db.destroy())
      const unused = Promise.withResolvers<void>()
      const other = db.connection().execute(() => unused.promise)
      let floating: Promise<unknown> | undefined
      await db.connection().execute(async (connection) => {
        floating = sql`select 1`.execute(connection)
      })
      await floating
      unused.resolve()
      await other
      const transaction = await db.startTransaction().execute()
      await sql`select set_config('posthaste.seen', 'inside', true)`.execute(transaction)
      const seen = sql`select current_setting('posthaste.seen', true) as seen`.execute(db)
      await Promise.race([seen, new Promise((resolve) => setTimeout(resolve, 100))])
      await transaction.rollback().execute()
      expect((await seen).rows).not.toEqual([{ seen: 'inside' }])
    },
  )

  it.skipIf(!services.postgres)(
    'joins queries of the first turn and of later ones, and those with a signal',
    async () => {
      const events: QueryEvent[] = []
      const dialect = new PostgresDialect({ pool: new pg.Pool({ connectionString: services.postgres, max: 5 }) })
      const onQuery = (event: QueryEvent) => events.push(event)
      const db = new Kysely<Catalog>(instrument({ dialect }, { autoBatch: true, onQuery }))
      onTestFinished(() => db.destroy())
      const both = (options?: object) =>
        Promise.all(
          ['int4', 'int8'].map((name) => {
            const query = db.selectFrom('pg_type').select('typname').where('typname', '=', name)
            return (query.execute as Execute).call(query, options)
          }),
        )
      // A statement that takes long, as on a busy machine, would be compared with separate ones.
      vi.useFakeTimers({ toFake: ['performance'] })
      onTestFinished(() => void vi.useRealTimers())
      for (const options of [undefined, undefined, { signal: new AbortController().signal }]) await both(options)
      expect(events.map(({ lookups }) => lookups)).toEqual([2, 2, 2])
    },
  )

  it.skipIf(!services.postgres)('takes and frees a lock of a session on one connection', async () => {
    const dialect = new PostgresDialect({ pool: new pg.Pool({ connectionString: services.postgres, max: 5 }) })
    const db = new Kysely<Tables>(instrument({ dialect }, { autoBatch: true }))
    onTestFinished(() => db.destroy())
    const key = process.pid
    const lock = () => db.selectNoFrom(sql<boolean>`pg_try_advisory_lock(${key})`.as('done')).compile()
    const unlock = db.selectNoFrom(sql<boolean>`pg_advisory_unlock(${key})`.as('done')).compile()
    const atLoad = lock()
    const job = (first: ReturnType<typeof lock>) =>
      db.connection().execute(async (connection) => {
        const taken = await connection.executeQuery(first)
        const other = sql`select pg_sleep(0.1)`.execute(db)
        await sql`select pg_sleep(0.01)`.execute(db)
        const freed = await connection.executeQuery(unlock)
        await other
        return [taken.rows[0]?.done, freed.rows[0]?.done]
      })
    for (const first of [atLoad, lock(), atLoad]) expect(await job(first)).toEqual([true, true])
    expect(await job(lock())).toEqual([true, true])
  })
})

type Kind = 'query' | 'compiled query' | 'connection' | 'transaction' | 'compiled for another'
type Time = 'at load' | 'right before' | 'inside'
type Compiled = CompiledQuery<{ connection: number }>
/** Options since Kysely 0.29. */
type Execute = (this: unknown, options?: object) => Promise<unknown>

const select = (db: Kysely<Tables>, id = 1) => db.selectFrom('city').select('connection').where('id', '=', id)

/** @returns the connection of each query */
async function connectionsOf(
  kind: Kind,
  db: Kysely<Tables>,
  atLoad: Compiled,
  times: readonly Time[],
  waits: boolean,
): Promise<number[]> {
  if (kind === 'query') return ids(await select(db).execute())
  if (kind === 'compiled for another') return ids([...(await select(db).execute()), ...(select(db).compile() && [])])
  const prepared = times.map((time) =>
    time === 'at load' ? atLoad : time === 'right before' ? select(db).compile() : undefined,
  )
  if (kind === 'compiled query') return ids((await db.executeQuery(prepared[0] ?? atLoad)).rows)
  const run = async (on: Kysely<Tables>) => {
    const seen: number[] = []
    for (const query of prepared) {
      seen.push(...ids(query === undefined ? await select(on).execute() : (await on.executeQuery(query)).rows))
      if (waits) await nextTurn()
    }
    return seen
  }
  return kind === 'connection' ? db.connection().execute(run) : db.transaction().execute(run)
}

function ids(rows: readonly { readonly connection: number }[]): number[] {
  return rows.map(({ connection }) => connection)
}

/** A database that makes a connection for each request, and answers each query with its number. */
function open(): Kysely<Tables> {
  const dialect: Dialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new NumberingDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
  return new Kysely<Tables>(instrument({ dialect }, { autoBatch: true, onWarn() {} }))
}

class NumberingDriver implements Driver {
  #connections = 0

  async init() {}

  async acquireConnection(): Promise<DatabaseConnection> {
    this.#connections += 1
    const connection = this.#connections
    return {
      async executeQuery<Row>() {
        return { rows: [{ connection }] } as QueryResult<Row>
      },
      async *streamQuery() {},
    }
  }

  async beginTransaction() {}
  async commitTransaction() {}
  async rollbackTransaction() {}
  async releaseConnection() {}
  async destroy() {}
}
