import pg from 'pg'
import { compareServers } from './support/servers-under-load.ts'

const connectionString = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const schema = `bench_before_after_${process.pid}`

/** Pages of a hundred cities of all countries and of five, to a depth of 5,000 rows, in an order that jumps. */
const paths = Array.from({ length: 300 }, (_, at) => {
  const country = at % 6 === 0 ? '' : `&country=c${at % 6}`
  return `/cities?page=${1 + ((at * 17) % 50)}&per_page=100${country}`
})

/**
 * The list of `before-after` on PostgreSQL, where each query is a round trip: by hand with a query a row in turn, and with
 * `Promise.all`; the latter with `autoBatch` as the only change; and with everything.
 */
export default async function beforeAfterPostgres(): Promise<string> {
  const admin = new pg.Client(connectionString)
  await admin.connect()
  try {
    await admin.query(`
      create schema ${schema}; set search_path to ${schema};
      create table cities (id int primary key, name text not null, country text not null, admin text not null, population int not null);
      insert into cities select i, 'city ' || i, 'c' || i % 20, 'a' || i % 400, i * 7919 % 100000 from generate_series(1, 100000) i;
      create index on cities (population, id);
      create index on cities (country, population, id);
      create table regions as
        select distinct on (country, admin) country, admin, name as capital from cities order by country, admin, population desc, id;
      alter table regions add primary key (country, admin);
      analyze cities; analyze regions`)
    const ways = [
      'by hand, a query a row',
      'by hand, Promise.all',
      'Promise.all with autoBatch',
      'posthaste, nothing cached',
      'posthaste',
    ]
    return await compareServers({ script: './cities-postgres-server.ts', ways, paths, place: schema })
  } finally {
    await admin.query(`drop schema if exists ${schema} cascade`)
    await admin.end()
  }
}
