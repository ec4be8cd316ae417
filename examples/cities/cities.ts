import { Kysely, type KyselyConfig, sql } from 'kysely'
import {
  type Cache,
  ClientInputError,
  createCache,
  createPaginator,
  instrument,
  int,
  listQuery,
  PerformanceMonitor,
  type PoolStats,
  type Settings,
  tags,
  text,
} from 'posthaste'
import type { CityTable, Tables } from './database.ts'

/** A client's mistake in the path or the body; the adapters' `answerErrors` turns it into a 400. */
class InputError extends ClientInputError {
  readonly code = 'ERR_INPUT'
}

const query = listQuery({
  sort: { population: 'cities.population', name: 'cities.name' },
  defaultSort: '-population',
  filter: { country: text({ max: 2 }), min_population: int({ min: 0 }) },
})

/** The whole application, whatever server is in front of it: queries, cache and monitor. */
export interface CitiesApp {
  readonly monitor: PerformanceMonitor
  readonly cache: CitiesCache
  /** `GET /cities`: a page of cities, filtered and sorted. */
  list(input: string | URLSearchParams | Readonly<Record<string, unknown>>): Promise<unknown>
  /** `GET /cities/:id`; `undefined` when there is no such city. */
  find(id: string): Promise<CityTable | undefined>
  /** `GET /countries`: cities and population by country. */
  countries(): Promise<readonly Country[]>
  /** `GET /countries/largest`: the three largest cities of each country. */
  largest(): Promise<readonly CountryCities[]>
  /** `POST /cities/:id` with `{ "population": 1234 }`; `undefined` when there is no such city. */
  update(id: string, body: unknown): Promise<CityTable | undefined>
  close(): Promise<void>
}

interface Country {
  readonly country: string
  readonly cities: number
  readonly population: number
}

interface CountryCities {
  readonly country: string
  readonly largest: readonly Pick<CityTable, 'id' | 'name' | 'population'>[]
}

type CitiesCache = Cache<'pages' | 'cities' | 'countries', 'cities' | `city:${number}`>

function createCitiesCache(options: Settings['cache']): CitiesCache {
  return createCache({
    name: 'cities',
    profiles: { pages: '30s', cities: '5m', countries: { ttl: '10m', stale: '1h' } },
    tags: tags<'cities' | `city:${number}`>(),
    ...options,
  })
}

export function createCitiesApp(
  database: KyselyConfig,
  settings: Settings,
  pool?: { stats(): PoolStats } | undefined,
): CitiesApp {
  const cache = createCitiesCache(settings.cache)
  const monitor = new PerformanceMonitor({ service: 'cities', caches: { cities: cache }, alerts: settings.alerts })
  const db = new Kysely<Tables>(instrument(database, { monitor, pool, autoBatch: true }))
  const { paginate } = createPaginator({ casing: 'snake', ...settings.pagination })

  return {
    monitor,
    cache,

    async list(input) {
      const { filter, ...page } = query.parse(input)
      return cache.getOrSet(
        ['page', page.key],
        () => {
          let cities = db.selectFrom('cities').selectAll()
          if (filter.country !== undefined) cities = cities.where('country', '=', filter.country.toUpperCase())
          if (filter.min_population !== undefined) cities = cities.where('population', '>=', filter.min_population)
          return paginate(cities, { ...page, unique: 'cities.id' })
        },
        { profile: 'pages', tags: ['cities'] },
      )
    },

    async find(text) {
      const id = parseId(text)
      return cache.getOrSet(
        ['city', id],
        () => db.selectFrom('cities').selectAll().where('id', '=', id).executeTakeFirst(),
        { profile: 'cities', tags: [`city:${id}`] },
      )
    },

    countries() {
      return cache.getOrSet(
        'countries',
        () =>
          db
            .selectFrom('cities')
            .select(({ fn }) => [
              'country',
              fn.countAll<number>().as('cities'),
              fn.sum<number>('population').as('population'),
            ])
            .groupBy('country')
            .orderBy(sql`population`, 'desc')
            .execute(),
        { profile: 'countries', tags: ['cities'] },
      )
    },

    async largest() {
      const countries = await db.selectFrom('cities').select('country').distinct().orderBy('country').execute()
      // A query for each country, as it reads best. `autoBatch` sends them together.
      return Promise.all(
        countries.map(async ({ country }) => ({
          country,
          largest: await db
            .selectFrom('cities')
            .select(['id', 'name', 'population'])
            .where('country', '=', country)
            .orderBy('population', 'desc')
            .orderBy('id', 'desc')
            .limit(3)
            .execute(),
        })),
      )
    },

    async update(text, body) {
      const id = parseId(text)
      const population = parsePopulation(body)
      const city = await db
        .updateTable('cities')
        .set({ population })
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst()
      if (city !== undefined) await cache.invalidateTags(`city:${id}`, 'cities')
      return city
    },

    async close() {
      await monitor.close()
      await cache.close()
      await db.destroy()
    },
  }
}

function parseId(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new InputError('`id` must be a whole number from 1 up')
  return Number(text)
}

function parsePopulation(body: unknown): number {
  const population = (body as { population?: unknown } | null | undefined)?.population
  if (!Number.isSafeInteger(population) || (population as number) < 0) {
    throw new InputError('`population` must be a whole number from 0 up')
  }
  return population as number
}
