import { Kysely, type KyselyConfig, PostgresDialect } from 'kysely'
import pg from 'pg'
import { instrument, tunePgPool } from '../src/index.ts'
import { compare, table } from './harness.ts'

const connectionString = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const schema = `bench_${process.pid}`

interface Database {
  [table: string]: { id: number; parent_id: number; name: string }
}

/** What do named statements give back, and what does the tuned pool cost? */
export default async function run(): Promise<string> {
  const admin = new pg.Client(connectionString)
  await admin.connect()
  const pools: pg.Pool[] = []
  try {
    await admin.query(`create schema ${schema}`)
    for (const name of ['a', 'b', 'c', 'd']) {
      await admin.query(
        `create table ${schema}.${name} as select i as id, i as parent_id, 'name ' || i as name from generate_series(1, 1000) i`,
      )
      await admin.query(`create unique index on ${schema}.${name} (id)`)
    }
    await admin.query('analyze')
    const open = (configure: (dialect: PostgresDialect) => KyselyConfig, tune = (pool: pg.Pool) => pool) => {
      const pool = tune(new pg.Pool({ connectionString, max: 1 }))
      pools.push(pool)
      return new Kysely<Database>(configure(new PostgresDialect({ pool }))).withSchema(schema)
    }
    const plain = open((dialect) => ({ dialect }))
    const named = open((dialect) => instrument({ dialect }, { statementCache: 100 }))
    const tune = (prePing: boolean | 'idle') =>
      open(
        (dialect) => ({ dialect }),
        (pool) => tunePgPool(pool, { prePing }),
      )
    const [unasked, tuned, pinging] = [tune(false), tune('idle'), tune(true)]
    const joins = await compare(
      [
        { name: 'Kysely', run: () => join(plain) },
        { name: 'instrument, named statements', run: () => join(named) },
      ],
      { iterations: 100, rounds: 30 },
    )
    const pings = await compare(
      [
        { name: 'pg.Pool', run: () => find(plain) },
        { name: 'tunePgPool, pings what was idle', run: () => find(tuned) },
        { name: 'tunePgPool, pings each time', run: () => find(pinging) },
      ],
      { iterations: 200, rounds: 30 },
    )
    const prePing = await compare(
      [
        { name: 'tunePgPool, pings nothing', run: () => find(unasked) },
        { name: 'tunePgPool, pings what was idle', run: () => find(tuned) },
      ],
      { iterations: 200, rounds: 60 },
    )
    return `A join of four tables by primary key:\n\n${table(joins)}\n\nOne row by primary key:\n\n${table(pings)}\n\nThe ping alone:\n\n${table(prePing)}`
  } finally {
    for (const pool of pools) await pool.end()
    await admin.query(`drop schema if exists ${schema} cascade`)
    await admin.end()
  }
}

function find(db: Kysely<Database>) {
  return db.selectFrom('a').selectAll().where('id', '=', id()).executeTakeFirst()
}

function join(db: Kysely<Database>) {
  return db
    .selectFrom('a')
    .innerJoin('b', 'b.id', 'a.parent_id')
    .innerJoin('c', 'c.id', 'b.parent_id')
    .innerJoin('d', 'd.id', 'c.parent_id')
    .select(['a.name', 'b.name as b_name', 'c.name as c_name', 'd.name as d_name'])
    .where('a.id', '=', id())
    .executeTakeFirst()
}

function id(): number {
  return 1 + Math.floor(Math.random() * 1_000)
}
