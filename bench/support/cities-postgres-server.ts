/** The cities with the capital of each one's region, on PostgreSQL: `node cities-postgres-server.ts <way> <schema>`. */
import type { AddressInfo } from 'node:net'
import express from 'express'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import {
  countRows,
  createCache,
  createPaginator,
  type InstrumentOptions,
  instrument,
  listQuery,
  PerformanceMonitor,
  text,
} from 'posthaste'
import { answerErrors, cacheResponses, compressResponses, monitorRequests } from 'posthaste/express'

interface Schema {
  cities: { id: number; name: string; country: string; admin: string; population: number }
  regions: { country: string; admin: string; capital: string }
}

const [way = '', schema = ''] = process.argv.slice(2)
const connectionString = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const pool = new pg.Pool({ connectionString, max: 10, options: `-c search_path=${schema}` })
const dialect = new PostgresDialect({ pool })
const app = express()

function byHand(db: Kysely<Schema>, isOneAfterAnother: boolean): void {
  const capitalOf = (city: Schema['cities']) =>
    db
      .selectFrom('regions')
      .select('capital')
      .where('country', '=', city.country)
      .where('admin', '=', city.admin)
      .executeTakeFirst()
  app.get('/cities', async (request, response) => {
    const { page = '1', per_page = '20', country } = request.query as Record<string, string>
    let cities = db.selectFrom('cities')
    if (country !== undefined) cities = cities.where('country', '=', country)
    const { total } = await cities.select(({ fn }) => fn.countAll<string>().as('total')).executeTakeFirstOrThrow()
    const rows = await cities
      .selectAll()
      .orderBy('population', 'desc')
      .orderBy('id', 'desc')
      .limit(Number(per_page))
      .offset((Number(page) - 1) * Number(per_page))
      .execute()
    const capitals: ({ readonly capital: string } | undefined)[] = []
    if (isOneAfterAnother) for (const city of rows) capitals.push(await capitalOf(city))
    else capitals.push(...(await Promise.all(rows.map(capitalOf))))
    const items = rows.map((city, at) => ({ ...city, capital: capitals[at]?.capital }))
    const pages = Math.ceil(Number(total) / Number(per_page))
    const pagination = { page: Number(page), per_page: Number(per_page), total: Number(total), total_pages: pages }
    response.json({ items, pagination })
  })
}

function withLibrary(isCached: boolean): void {
  const cache = createCache({ profiles: { lists: '1m' } })
  const monitor = new PerformanceMonitor({ caches: { cities: cache } })
  const options: InstrumentOptions = { monitor, autoBatch: true, statementCache: 100 }
  const db = new Kysely<Schema>(instrument({ dialect }, options))
  const { paginate } = createPaginator({ casing: 'snake' })
  const list = listQuery({
    sort: { population: 'cities.population' },
    defaultSort: '-population',
    filter: { country: text({ max: 3 }) },
  })
  app.use(monitorRequests(monitor)).use(compressResponses({ monitor }))
  const query = ['page', 'per_page', 'sort', 'country']
  const caching = isCached ? [cacheResponses(cache, { profile: 'lists', tags: ['cities'], query })] : []
  app.get('/cities', ...caching, async (request, response) => {
    const { filter, ...page } = list.parse(request.query)
    let cities = db.selectFrom('cities')
    if (filter.country !== undefined) cities = cities.where('cities.country', '=', filter.country)
    const total = { known: await countRows(cities) }
    const named = cities
      .leftJoin('regions', (join) =>
        join.onRef('regions.country', '=', 'cities.country').onRef('regions.admin', '=', 'cities.admin'),
      )
      .selectAll('cities')
      .select('capital')
    response.json(await paginate(named, { ...page, total, unique: 'cities.id' }))
  })
  app.use(answerErrors())
}

const plain = () => new Kysely<Schema>({ dialect })
const ways: Readonly<Record<string, () => void>> = {
  'by hand, a query a row': () => byHand(plain(), true),
  'by hand, Promise.all': () => byHand(plain(), false),
  'Promise.all with autoBatch': () => byHand(new Kysely<Schema>(instrument({ dialect }, { autoBatch: true })), false),
  'posthaste, nothing cached': () => withLibrary(false),
  posthaste: () => withLibrary(true),
}

ways[way]?.()
const server = app.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('message', () => process.send?.(process.cpuUsage()))
process.on('disconnect', () => process.exit())
