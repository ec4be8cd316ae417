import {
  type DatabaseConnection,
  DummyDriver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely'
import { instrument } from 'posthaste'
import { describe, expect, it } from 'vitest'

describe('the queue for a single connection', () => {
  const open = (acquire: () => Promise<DatabaseConnection>) => {
    class Driver extends DummyDriver {
      override acquireConnection = acquire
    }
    const db = new Kysely<Record<string, never>>(
      instrument({
        dialect: {
          createAdapter: () => new SqliteAdapter(),
          createDriver: () => new Driver(),
          createIntrospector: (db) => new SqliteIntrospector(db),
          createQueryCompiler: () => new SqliteQueryCompiler(),
        },
      }),
    )
    return () => sql`select 1`.execute(db)
  }
  const connection = {
    executeQuery: async () => ({ rows: [] }),
    async *streamQuery() {},
  }

  it('goes on when the driver refuses one', async () => {
    let refusals = 2
    const query = open(async () => {
      if (refusals-- > 0) throw new Error('busy')
      return connection
    })
    const outcomes = await Promise.allSettled([query(), query(), query(), query()])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled'])
    expect(await query()).toEqual({ rows: [] })
  })

  it('goes on when the driver gives a connection that cannot be patched', async () => {
    let frozen = 2
    const query = open(async () => (frozen-- > 0 ? Object.freeze({ ...connection }) : connection))
    const outcomes = await Promise.allSettled([query(), query(), query()])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
  })

  it('serves connections without streams, as drivers in JavaScript may have them', async () => {
    const query = open(async () => ({ executeQuery: connection.executeQuery }) as never)
    expect(await Promise.all([query(), query()])).toEqual([{ rows: [] }, { rows: [] }])
  })
})
