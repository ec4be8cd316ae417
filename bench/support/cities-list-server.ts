/** The cities with the largest of each one's region, by hand or with this library: `node cities-list-server.ts <way> <folder>`. */
import type { AddressInfo } from 'node:net'
import express from 'express'
import { Kysely } from 'kysely'
import {
  countRows,
  createCache,
  createPaginator,
  instrument,
  int,
  listQuery,
  PerformanceMonitor,
  text,
} from 'posthaste'
import { answerErrors, cacheResponses, compressResponses, monitorRequests, performanceRoutes } from 'posthaste/express'
import { kyselyDialect, openCities, type Tables } from '../../examples/cities/database.ts'

interface Schema extends Tables {
  /** The largest city of each region. */
  regions: { country: string; admin: string; capital: string; population: number }
}

const [way = '', folder = ''] = process.argv.slice(2)
const database = openCities(folder)
database.exec(`
  create temporary table regions as
    select country, admin, name as capital, max(population) as population from cities group by country, admin;
  create unique index regions_key on regions (country, admin);
`)
const dialect = kyselyDialect(database)
const app = express()

const ways: Readonly<Record<string, () => void>> = {
  /** As the large list is written first: a query a row, a count a page, nothing cached, nothing compressed. */
  'by hand': () => {
    const db = new Kysely<Schema>({ dialect })
    app.get('/cities', async (request, response) => {
      const { page = '1', per_page = '20', country, min_population } = request.query as Record<string, string>
      let cities = db.selectFrom('cities')
      if (country !== undefined) cities = cities.where('country', '=', country)
      if (min_population !== undefined) cities = cities.where('population', '>=', Number(min_population))
      const { total } = await cities.select(({ fn }) => fn.countAll<number>().as('total')).executeTakeFirstOrThrow()
      const rows = await cities
        .selectAll()
        .orderBy('population', 'desc')
        .orderBy('id', 'desc')
        .limit(Number(per_page))
        .offset((Number(page) - 1) * Number(per_page))
        .execute()
      const items = []
      for (const city of rows) {
        const region = await db
          .selectFrom('regions')
          .select('capital')
          .where('country', '=', city.country)
          .where('admin', '=', city.admin)
          .executeTakeFirst()
        items.push({ ...city, capital: region?.capital })
      }
      const pages = Math.ceil(total / Number(per_page))
      response.json({
        items,
        pagination: { page: Number(page), per_page: Number(per_page), total, total_pages: pages },
      })
    })
  },
  'posthaste, nothing cached': () => withLibrary(false),
  posthaste: () => withLibrary(true),
}

function withLibrary(cached: boolean): void {
  const cache = createCache({ profiles: { lists: '1m' } })
  const monitor = new PerformanceMonitor({ caches: { cities: cache } })
  const db = new Kysely<Schema>(instrument({ dialect }, { monitor }))
  const { paginate } = createPaginator({ casing: 'snake' })
  const list = listQuery({
    sort: { population: 'cities.population' },
    defaultSort: '-population',
    filter: { country: text({ max: 2 }), min_population: int({ min: 0 }) },
  })
  app.use(monitorRequests(monitor)).use(compressResponses({ monitor })).use(performanceRoutes(monitor))
  const query = ['page', 'per_page', 'sort', 'country', 'min_population']
  const caching = cached ? [cacheResponses(cache, { profile: 'lists', tags: ['cities'], query })] : []
  app.get('/cities', ...caching, async (request, response) => {
    const { filter, ...page } = list.parse(request.query)
    let cities = db.selectFrom('cities')
    if (filter.country !== undefined) cities = cities.where('cities.country', '=', filter.country)
    if (filter.min_population !== undefined) cities = cities.where('cities.population', '>=', filter.min_population)
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

ways[way]?.()
const server = app.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('message', () => process.send?.(process.cpuUsage()))
process.on('disconnect', () => process.exit())
