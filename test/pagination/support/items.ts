import fc from 'fast-check'
import { sql } from 'kysely'
import type { SqlDialect } from '../../../src/pagination/types.ts'
import type { Untyped } from './engines.ts'

/** A table with a column of every kind that is hard to page by, and a table it refers to. */
export async function createItems(db: Untyped, dialect: SqlDialect): Promise<void> {
  const ddl = {
    sqlite: `create table items (id integer primary key, big integer not null, n integer, m integer not null,
      t text not null collate nocase, tn text, at text not null, amount numeric not null, f real not null, fn real,
      level text not null, bytes blob not null, team_id integer)`,
    postgres: `create table items (id int primary key, big int8 not null, n int, m int not null,
      t varchar(40) not null, tn text collate "C", at timestamptz not null, amount numeric(40, 10) not null,
      f real not null, fn float8, level level not null, bytes bytea not null, team_id int)`,
    mysql: `create table items (id int primary key, big bigint not null, n int, m int not null,
      t varchar(40) not null collate utf8mb4_unicode_ci, tn varchar(40) character set latin1, at datetime(6) not null,
      amount decimal(40, 10) not null, f float not null, fn double, level enum('low', 'mid', 'high') not null,
      bytes varbinary(8) not null, team_id int)`,
    mssql: '',
  }[dialect]
  if (dialect === 'postgres') await sql`create type level as enum ('low', 'mid', 'high')`.execute(db)
  await sql.raw(ddl).execute(db)
  await sql`create table teams (id int primary key, name varchar(20) not null, score int)`.execute(db)
  const teams = [1, 2, 3, 4].map((id) => ({ id, name: `team ${id % 3}`, score: id % 2 === 0 ? null : id }))
  await db.insertInto('teams').values(teams).execute()
}

export interface Item {
  readonly id: number
  readonly [column: string]: unknown
}

/** Few distinct values, so that ties and NULLs are everywhere, and the values that drivers and JSON mangle. */
export const items: fc.Arbitrary<Item[]> = fc
  .array(
    fc.record({
      big: fc.constantFrom('9007199254740993', '9007199254740992', '9007199254740994', '-9223372036854775808', '7'),
      n: fc.constantFrom(null, null, 1, 2, 3),
      m: fc.constantFrom(1, 2, 3),
      t: fc.constantFrom('a', 'A', 'b', 'é', 'e', '', "o'k", '{"x":1}', '[1]', '1184:x', 'null', '10', '9'),
      tn: fc.constantFrom(null, 'a', 'b', 'B', '2024-01-01'),
      at: fc.integer({ min: 100, max: 110 }).map((us) => `2024-01-01 00:00:00.000${us}`),
      amount: fc.constantFrom('1.10', '1.1', '12345678901234567890.0123456789', '12345678901234567890.0123456788', '0'),
      f: fc.constantFrom(0.1, 0.2, 1 / 3, 1e-7, -1.5, 16777216, 3.4e38),
      fn: fc.constantFrom(null, 0.1, 0.1 + 0.2, 1e300, -5e-324, 4),
      level: fc.constantFrom('low', 'mid', 'high'),
      bytes: fc.constantFrom('00ff', 'ff', '27', '', '0001'),
      team_id: fc.constantFrom(null, 1, 2, 3, 4),
    }),
    { minLength: 1, maxLength: 24 },
  )
  .map((rows) => rows.map((row, at) => ({ ...row, id: ((at * 7) % 29) + 1 })))

/** Some of these values of each kind, for what is to be the same in every run. */
export const someItems: readonly Item[] = Array.from({ length: 6 }, (_, at) => ({
  id: at + 1,
  big: ['9007199254740993', '9007199254740992', '-9223372036854775808', '7', '7', '9007199254740994'][at],
  n: [null, 1, 2, 2, null, 3][at],
  m: (at % 3) + 1,
  t: ['a', 'A', 'é', '', "o'k", '10'][at],
  tn: [null, 'a', 'B', 'b', '2024-01-01', null][at],
  at: `2024-01-01 00:00:00.00010${at}`,
  amount: ['1.10', '1.1', '12345678901234567890.0123456789', '12345678901234567890.0123456788', '0', '0'][at],
  f: [0.1, 1 / 3, 1e-7, -1.5, 16777216, 3.4e38][at],
  fn: [null, 0.1, 0.1 + 0.2, 1e300, -5e-324, 4][at],
  level: ['low', 'mid', 'high'][at % 3],
  bytes: ['00ff', 'ff', '27', '', '0001', '27'][at],
  team_id: [null, 1, 2, 3, 4, 1][at],
}))

export async function fillItems(db: Untyped, rows: readonly Item[]): Promise<void> {
  await db.deleteFrom('items').execute()
  const values = rows.map((row) => ({
    ...row,
    big: BigInt(row.big as string),
    bytes: Buffer.from(row.bytes as string, 'hex'),
  }))
  await db.insertInto('items').values(values).execute()
}
