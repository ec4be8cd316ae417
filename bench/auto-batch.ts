import DataLoader from 'dataloader'
import {
  DummyDriver,
  Kysely,
  MysqlDialect,
  PostgresAdapter,
  PostgresDialect,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
} from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { type InstrumentOptions, instrument, queryReport } from '../src/index.ts'
import { type Candidate, compare, table } from './harness.ts'
import { startDelayProxy } from './support/delay-proxy.ts'

const connectionString = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const schema = `bench_auto_batch_${process.pid}`
const ids = Array.from({ length: 100 }, (_, index) => 1 + ((index * 977) % 100_000))

interface Database {
  person: { id: number; name: string; region: number; pop: number }
}

/** Do lookups that travel together cost less, and what does a lone one pay? */
export default async function run(): Promise<string> {
  const admin = new pg.Client(connectionString)
  await admin.connect()
  const proxy = await startDelayProxy(Number(new URL(connectionString).port || 5432), 2)
  const opened: Kysely<Database>[] = []
  const open = (options: InstrumentOptions, { port, max = 10 }: { port?: number | undefined; max?: number } = {}) => {
    const url = new URL(connectionString)
    if (port !== undefined) url.port = String(port)
    const pool = new pg.Pool({ connectionString: url.href, max, options: `-c search_path=${schema}` })
    const db = new Kysely<Database>(instrument({ dialect: new PostgresDialect({ pool }) }, options))
    opened.push(db)
    return db
  }
  try {
    await admin.query(`
      create schema ${schema}; set search_path to ${schema};
      create table person (id int primary key, name text, region int, pop int);
      insert into person select i, 'name ' || i, i % 1000, i * 7 % 100000 from generate_series(1, 100000) i;
      create index on person (region, pop); analyze person`)
    const parts: string[] = []
    for (const [title, port] of [
      ['on this machine', undefined],
      ['over a round trip of 2 ms', proxy.port],
    ] as const) {
      const separate = open({}, { port })
      const joined = open({ autoBatch: true }, { port })
      const named = open({ autoBatch: true, statementCache: 100 }, { port })
      parts.push(
        `100 lookups by primary key, ${title}, pool of 10:\n\n${await compared([
          { name: 'separate queries', run: () => byKey(separate) },
          { name: 'autoBatch', run: () => byKey(joined) },
          { name: 'autoBatch, named statements', run: () => byKey(named) },
          { name: '`in` list by hand', run: () => inList(separate, ids) },
          { name: 'DataLoader', run: () => withLoader(separate) },
          { name: 'Kysely alone, no database: 100 queries built and answered', run: () => byKey(withoutDatabase) },
        ])}`,
        `Top 3 of 100 parents, ${title}, pool of 10:\n\n${await compared([
          { name: 'separate queries', run: () => topThree(separate) },
          { name: 'autoBatch', run: () => topThree(joined) },
          { name: 'autoBatch, named statements', run: () => topThree(named) },
          { name: '`lateral` by hand', run: () => lateralByHand(separate) },
        ])}`,
      )
      const { queries, statements } = queryReport(joined).autoBatch
      parts.push(`${queries} lookups took ${statements} statements.`)
    }
    const [apart, together] = [open({}), open({ autoBatch: true })]
    // The first hundreds of runs wait for connections and the compiler.
    for (let turn = 0; turn < 500; turn++) for (const db of [apart, together]) await byKey(db, ids.slice(0, 3))
    for (const count of [2, 3, 5]) {
      const few = await compare(
        [
          { name: 'separate queries', run: () => byKey(apart, ids.slice(0, count)) },
          { name: 'autoBatch', run: () => byKey(together, ids.slice(0, count)) },
        ],
        { iterations: 20, rounds: 25 },
      )
      parts.push(`${count} lookups by primary key, on this machine, pool of 10:\n\n${table(few)}`)
    }
    const [off, on] = [open({}, { max: 1 }), open({ autoBatch: true }, { max: 1 })]
    const lone = await compare(
      [
        { name: 'instrument', run: () => find(off, nextId()) },
        { name: 'instrument with autoBatch', run: () => find(on, nextId()) },
      ],
      { iterations: 100, rounds: 60, measure: 'cpu' },
    )
    parts.push(`CPU of a lone query by primary key:\n\n${table(lone)}`)
    return [...parts, await onMariadb()].join('\n\n')
  } finally {
    for (const db of opened) await db.destroy()
    proxy.stop()
    await admin.query(`drop schema if exists ${schema} cascade`)
    await admin.end()
  }
}

/** MariaDB has no `lateral`: a list of keys where that gives the same rows, and a union elsewhere. */
async function onMariadb(): Promise<string> {
  const url = new URL(process.env.MARIADB_URL ?? 'mysql://root@127.0.0.1:3306/test')
  const admin = createPool({ uri: url.href, connectionLimit: 1 }).promise()
  await admin.query(`create database ${schema}`)
  const proxy = await startDelayProxy(Number(url.port || 3306), 2)
  url.pathname = `/${schema}`
  const opened: Kysely<Database>[] = []
  const open = (port: number | undefined, options: InstrumentOptions) => {
    const target = new URL(url)
    if (port !== undefined) target.port = String(port)
    const pool = createPool({ uri: target.href, connectionLimit: 10 })
    const db = new Kysely<Database>(instrument({ dialect: new MysqlDialect({ pool }) }, options))
    opened.push(db)
    return db
  }
  try {
    await admin.query(`create table ${schema}.person (id int primary key, name varchar(40), region int, pop int)`)
    await admin.query(
      `insert into ${schema}.person select seq, concat('name ', seq), seq % 1000, seq * 7 % 100000 from seq_1_to_100000`,
    )
    await admin.query(`create index person_region on ${schema}.person (region, pop)`)
    await admin.query(`analyze table ${schema}.person`)
    const parts: string[] = []
    for (const [title, port] of [
      ['on this machine', undefined],
      ['over a round trip of 2 ms', proxy.port],
    ] as const) {
      const [separate, joined] = [open(port, {}), open(port, { autoBatch: true })]
      parts.push(
        `MariaDB, 100 lookups by primary key, ${title}, pool of 10:\n\n${await compared([
          { name: 'separate queries', run: () => byKey(separate) },
          { name: 'autoBatch', run: () => byKey(joined) },
          { name: '`in` list by hand', run: () => inList(separate, ids) },
          { name: 'DataLoader', run: () => withLoader(separate) },
        ])}`,
        `MariaDB, top 3 of 100 parents, ${title}, pool of 10:\n\n${await compared([
          { name: 'separate queries', run: () => topThree(separate) },
          { name: 'autoBatch', run: () => topThree(joined) },
        ])}`,
      )
    }
    return parts.join('\n\n')
  } finally {
    for (const db of opened) await db.destroy()
    proxy.stop()
    await admin.query(`drop database ${schema}`)
    await admin.end()
  }
}

async function compared(candidates: readonly Candidate[]): Promise<string> {
  return table(await compare(candidates, { iterations: 3, rounds: 25 }))
}

const withoutDatabase = new Kysely<Database>(
  instrument({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  }),
)

let lastId = 0
function nextId(): number {
  lastId = (lastId % 1_000) + 1
  return lastId
}

function find(db: Kysely<Database>, id: number) {
  return db.selectFrom('person').select(['id', 'name', 'pop']).where('id', '=', id).executeTakeFirst()
}

function byKey(db: Kysely<Database>, wanted: readonly number[] = ids) {
  return Promise.all(wanted.map((id) => find(db, id)))
}

function topThree(db: Kysely<Database>) {
  const top = (region: number) =>
    db.selectFrom('person').select(['id', 'pop']).where('region', '=', region).orderBy('pop', 'desc').limit(3)
  return Promise.all(ids.map((id) => top(id % 1_000).execute()))
}

async function inList(db: Kysely<Database>, wanted: readonly number[]) {
  const rows = await db.selectFrom('person').select(['id', 'name', 'pop']).where('id', 'in', wanted).execute()
  const byId = new Map(rows.map((row) => [row.id, row]))
  return wanted.map((id) => byId.get(id))
}

/** A loader for each request, as its manual asks for. */
function withLoader(db: Kysely<Database>) {
  const loader = new DataLoader((keys: readonly number[]) => inList(db, keys))
  return Promise.all(ids.map((id) => loader.load(id)))
}

async function lateralByHand(db: Kysely<Database>) {
  const regions = ids.map((id) => id % 1_000)
  const { rows } = await sql<{ n: number; id: number; pop: number }>`
    select p.n::int, x.* from unnest(${regions}::int[]) with ordinality as p (region, n)
    cross join lateral (select id, pop from person where region = p.region order by pop desc limit 3) x`.execute(db)
  const groups = Map.groupBy(rows, ({ n }) => n)
  return regions.map((_, index) => groups.get(index + 1) ?? [])
}
