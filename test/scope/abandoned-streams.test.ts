import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Dialect, Kysely, MysqlDialect, PostgresDialect, sql } from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { instrument, tuneMysqlPool, tunePgPool, withQueryScope } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { seed } from '../support/seed.ts'
import { services } from '../support/services.ts'
import { Cursor } from './support/cursor.ts'
import { pick, randomFrom } from './support/random.ts'
import { type ServerName, servers } from './support/servers.ts'

/** MariaDB may take two seconds to end a query. */
const roundsOn = (server: ServerName) => Number(process.env.RUNS ?? (server === 'postgres' ? 10 : 4))

const collations = (alias: string) => sql`information_schema.collations ${sql.raw(alias)}`
const numbers = {
  postgres: (count: number) => sql<{ n: number }>`select generate_series(1, ${sql.lit(count)}) as n`,
  other: (count: number) =>
    sql<{
      n: number
    }>`select 1 as n from ${collations('a')}, ${collations('b')}, ${collations('c')} limit ${sql.lit(count)}`,
}

/** Behind a pool with one connection. */
function open(server: ServerName, kind: 'plain' | 'tuned'): Kysely<Record<string, never>> {
  let dialect: Dialect
  if (server === 'postgres') {
    const pool = new pg.Pool({ connectionString: services.postgres as string, max: 1 })
    dialect = new PostgresDialect({ pool: kind === 'tuned' ? tunePgPool(pool) : pool, cursor: Cursor as never })
  } else {
    const pool = createPool({ uri: services[server] as string, connectionLimit: 1 })
    dialect = new MysqlDialect({ pool: kind === 'tuned' ? tuneMysqlPool(pool) : pool })
  }
  const db = new Kysely<Record<string, never>>(instrument({ dialect }, { abandon: 'cancel', explain: false }))
  onTestFinished(() => db.destroy())
  return db
}

describe.each(servers)('an abandoned stream on %s', (server) => {
  describe.skipIf(!services[server]).each(['plain', 'tuned'] as const)('%s pool', (kind) => {
    it(`gives its connection back, however its reader goes on (seed ${seed})`, async () => {
      const random = randomFrom(seed)
      const db = open(server, kind)
      const series = server === 'postgres' ? numbers.postgres : numbers.other
      for (let round = 0; round < roundsOn(server); round++) {
        const isLong = random() < 0.7
        const abortsAt = Math.floor(random() * 30)
        const leaves = pick(['never', 'at once', 'as a stream'], random)
        const controller = new AbortController()
        const reason = new Error(`left in round ${round}`)
        let seen = 0
        const rows = async function* () {
          const query = series(isLong ? 100_000_000 : abortsAt + 5).compile(db)
          for await (const chunk of db.getExecutor().stream(query, 3)) yield* chunk.rows
        }
        const read = async () => {
          for await (const _row of leaves === 'as a stream' ? Readable.from(rows()) : rows()) {
            seen += 1
            if (seen !== abortsAt + 1) continue
            controller.abort(reason)
            if (leaves !== 'never') return
            await sleep(random() * 5)
          }
        }
        const outcome = withQueryScope('job', read, { signal: controller.signal }).catch((error: unknown) => error)
        const about = [round, leaves, abortsAt, isLong]
        const result = await Promise.race([outcome, sleep(5_000, 'too late')])
        if (isLong || leaves !== 'never')
          expect([...about, result]).toEqual([...about, leaves === 'never' ? reason : undefined])
        const next = sql<{ n: number }>`select 1 as n`.execute(db).then((result) => result.rows.map(({ n }) => n))
        expect([...about, await Promise.race([next, sleep(5_000, 'too late')])]).toEqual([...about, [1]])
      }
    })
  })
})
