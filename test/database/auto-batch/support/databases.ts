import { type Dialect, Kysely, sql } from 'kysely'
import { type InstrumentOptions, instrument, type QueryEvent } from 'posthaste'
import { onTestFinished } from 'vitest'
import { numbersTo } from '../../support/mysql-servers.ts'
import { typedTable } from './mysql-types.ts'
import type { Tables } from './shapes.ts'

/** The tables of the differential test on PostgreSQL, in the schema on the search path. */
export const postgresTables = `
  create type size as enum ('small', 'big');
  create table city (
    id int primary key, name text not null, region int, pop bigint, area numeric(12, 3), founded date, seen timestamptz,
    code char(3), flag boolean, ratio real, note varchar(20), tags text[], meta jsonb, kind size, raw bytea, uid uuid, dur interval
  );
  create table item (id int primary key, city_id int, price numeric(10, 2), qty smallint, label text);
  insert into city select i, 'city ' || i, nullif(i % 5, 4), i * 1000003 % 9007, i * 1.125, date '2020-01-01' + i * 20,
    timestamptz '2020-01-01 10:00:00.123456+00' + i * interval '9 days 1 second', 'c' || i, i % 2 = 0, i / 7.0::real,
    case when i % 3 = 0 then null else 'note ' || i end, array['x', 't' || i, null], jsonb_build_object('n', i % 3, 'list', array[1, i]),
    case when i % 2 = 0 then 'big' else 'small' end::size, i::text::bytea, md5(i::text)::uuid, i * interval '1 hour'
    from generate_series(1, 24) i;
  insert into item select i, nullif(i % 9, 8), i * 1.5, i % 7, 'label ' || i % 4 from generate_series(1, 40) i;
  create view city_view as select c.id, c.name, (select count(*) from item where city_id = c.id) as items from city c;
`

export interface Watched<Schema> {
  readonly db: Kysely<Schema>
  readonly events: QueryEvent[]
}

/** An instrumented `Kysely` that tells its statements. */
export function open<Schema = Tables>(dialect: Dialect, options: InstrumentOptions = {}): Watched<Schema> {
  const events: QueryEvent[] = []
  const db = new Kysely<Schema>(
    instrument({ dialect }, { autoBatch: true, onQuery: (event) => events.push(event), onWarn: () => {}, ...options }),
  )
  onTestFinished(() => db.destroy())
  return { db, events }
}

/** Runs statements one after another. */
export async function runScript(db: Kysely<never>, script: string): Promise<void> {
  for (const statement of script.split(/;\n/)) {
    if (statement.trim() !== '') await sql.raw(statement).execute(db)
  }
}

export const mysqlTables: string = `
  create table city (
    id int primary key, name text not null, region int, pop bigint, area decimal(12, 3), founded date, seen datetime(6),
    code char(3), flag tinyint(1), ratio float, note varchar(20), tags set('x', 'y'), meta json, kind enum('small', 'big'),
    raw varbinary(20), uid bit(3), dur time
  );
  create table item (id int primary key, city_id int, price decimal(10, 2), qty smallint unsigned, label text);
  insert into city select seq, concat('city ', seq), nullif(seq % 5, 4), seq * 1000003 % 9007, seq * 1.125, date '2020-01-01' + interval seq * 20 day,
    timestamp '2020-01-01 10:00:00.123456' + interval seq * 9 day, concat('c', seq), seq % 2 = 0, seq / 7,
    if(seq % 3 = 0, null, concat('note ', seq)), if(seq % 2, 'x,y', ''), json_object('n', seq % 3, 'list', json_array(1, seq)),
    if(seq % 2 = 0, 'big', 'small'), concat('r', seq), seq % 8, sec_to_time(seq * 4000) from ${numbersTo(24)};
  insert into item select seq, nullif(seq % 9, 8), seq * 1.5, seq % 7, concat('label ', seq % 4) from ${numbersTo(40)};
  create view city_view as select c.id, c.name, (select count(*) from item where city_id = c.id) as items from city c;
  ${typedTable}
`

export const sqliteTables = `
  create table city (
    id integer primary key, name text not null, region int, pop bigint, area numeric, founded text, seen text,
    code text, flag int, ratio real, note text, tags text, meta text, kind any, raw blob, uid int, dur text
  );
  create table item (id integer primary key, city_id int, price numeric, qty int, label text);
  insert into city select value, 'city ' || value, nullif(value % 5, 4), value * 1000003 % 9007, value * 1.125, '2020-01-' || value, null,
    'c' || value, value % 2 = 0, value / 7.0, iif(value % 3 = 0, null, 'note ' || value), 'x', json_object('n', value % 3),
    iif(value % 2, value, 'k' || value), cast(value as blob), value, null from generate_series(1, 24);
  insert into item select value, nullif(value % 9, 8), value * 1.5, value % 7, 'label ' || value % 4 from generate_series(1, 40);
  create view city_view as select c.id, c.name, (select count(*) from item where city_id = c.id) as items from city c;
`
