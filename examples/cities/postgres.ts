import { PostgresDialect } from 'kysely'
import pg from 'pg'
import { chunks, type PoolStats, poolOptions, type Settings, tunePgPool } from 'posthaste'
import { indexes, readGeoNames, schema, showLoading } from './database.ts'

/** The mark of a table that this example has loaded completely. */
const mark = 'Cities of the posthaste example, version 1'

/** Connects to PostgreSQL, and loads the cities first when they are not there yet. */
export async function openPostgres(
  url: string,
  settings: Settings['pool'],
): Promise<{ dialect: PostgresDialect; pool: { stats(): PoolStats } }> {
  const { options, tuning } = poolOptions('pg', settings)
  const pool = tunePgPool(new pg.Pool({ connectionString: url, types: { getTypeParser }, ...options }), tuning)
  const client = await pool.connect()
  try {
    await load(client)
  } finally {
    client.release()
  }
  return { dialect: new PostgresDialect({ pool }), pool }
}

/** Sums and counts are 64-bit integers, which `pg` gives as text. Those of the cities are small. */
const getTypeParser: typeof pg.types.getTypeParser = (oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')

/** One transaction, so that a load that was interrupted leaves nothing behind. */
async function load(client: pg.PoolClient): Promise<void> {
  const { rows } = await client.query<{ found: string | null; mark: string | null }>(
    `select to_regclass('cities') as found, obj_description(to_regclass('cities'), 'pg_class') as mark`,
  )
  if (rows[0]?.mark === mark) return
  if (rows[0]?.found !== null)
    throw new Error('The database has another table called `cities`. Choose an empty database.')
  const cities = readGeoNames()
  const progress = showLoading(cities.length)
  await client.query('begin')
  try {
    await client.query(schema)
    let loaded = 0
    for (const chunk of chunks(cities, 5_000)) {
      // One statement with one parameter a column, whatever the number of rows.
      await client.query(
        'insert into cities select * from unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[], $7::float8[])',
        [
          chunk.map((city) => city.cityId),
          chunk.map((city) => city.name),
          chunk.map((city) => city.country),
          chunk.map((city) => city.adminCode),
          chunk.map((city) => city.population),
          chunk.map((city) => city.loc.coordinates[0]),
          chunk.map((city) => city.loc.coordinates[1]),
        ],
      )
      loaded += chunk.length
      progress.update(loaded)
    }
    await client.query(indexes)
    await client.query(`comment on table cities is '${mark}'`)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    progress.stop()
  }
}
