import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KyselyConfig } from 'kysely'
import { type QueryReport, settingsFromEnv } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CitiesApp, createCitiesApp } from '../../examples/cities/cities.ts'
import { kyselyDialect, openCities } from '../../examples/cities/database.ts'
import { serve as serveExpress } from '../../examples/cities/servers/express.ts'
import { serve as serveFastify } from '../../examples/cities/servers/fastify.ts'
import { serve as serveHono } from '../../examples/cities/servers/hono.ts'
import type { RunningServer } from '../../examples/cities/servers/running.ts'
import { services } from '../support/services.ts'

interface City {
  id: number
  name: string
  country: string
  population: number
}

interface Page {
  items: City[]
  pagination: {
    page: number
    per_page: number
    total: number
    total_pages: number
    has_next: boolean
    has_prev: boolean
  }
}

const madrid = 3117735
const folder = mkdtempSync(join(tmpdir(), 'posthaste-cities-'))
const servers = { express: serveExpress, fastify: serveFastify, hono: serveHono }

beforeAll(() => openCities(folder).close(), 60_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each(Object.entries(servers))('the cities on %s', (_name, serve) => {
  let cities: CitiesApp
  let server: RunningServer
  let statements: string[]

  beforeAll(async () => {
    statements = []
    const database: KyselyConfig = {
      dialect: kyselyDialect(openCities(folder)),
      log: ({ query }) => {
        statements.push(query.sql)
      },
    }
    cities = createCitiesApp(database, settingsFromEnv({ USE_REDIS_CACHE: 'false' }))
    server = await serve(cities, 0)
  })
  afterAll(async () => {
    await server.close()
    await cities.close()
  })

  const call = (path: string, init?: RequestInit) => fetch(`http://localhost:${server.port}${path}`, init)
  const get = async <Body>(path: string): Promise<Body> => {
    const response = await call(path)
    expect(response.status, path).toBe(200)
    return (await response.json()) as Body
  }
  const post = (id: number | string, body: string) =>
    call(`/cities/${id}`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })

  it('pages through the large cities of a country', async () => {
    const spain = await get<Page>('/cities?page=2&per_page=20&country=ES&min_population=100000&sort=-population')
    expect(Object.keys(spain)).toEqual(['items', 'pagination'])
    expect(spain.pagination).toEqual({
      page: 2,
      per_page: 20,
      total: 90,
      total_pages: 5,
      has_next: true,
      has_prev: true,
    })
    expect(spain.items).toHaveLength(20)
    expect(spain.items.every(({ country, population }) => country === 'ES' && population >= 100_000)).toBe(true)
    const populations = spain.items.map(({ population }) => population)
    expect(populations).toEqual([...populations].sort((a, b) => b - a))
  })

  it('counts every city of GeoNames', async () => {
    expect((await get<Page>('/cities')).pagination).toMatchObject({
      page: 1,
      per_page: 10,
      total: 135_233,
      total_pages: 13_524,
    })
  })

  it('shows a page past the end as empty, with the real total', async () => {
    const { items, pagination } = await get<Page>('/cities?country=VA&page=9')
    expect(items).toEqual([])
    expect(pagination).toMatchObject({ page: 9, has_next: false, has_prev: true })
  })

  it('reads a city once, and then from the cache', async () => {
    const before = await get<City>(`/cities/${madrid}`)
    expect(before).toMatchObject({ id: madrid, name: 'Madrid', country: 'ES' })
    statements.length = 0
    expect(await get<City>(`/cities/${madrid}`)).toEqual(before)
    expect(statements).toEqual([])
  })

  it('adds up the countries once, and then from the cache', async () => {
    const countries = await get<{ country: string; cities: number; population: number }[]>('/countries')
    expect(countries).toHaveLength(246)
    expect(countries.reduce((sum, { cities: count }) => sum + count, 0)).toBe(135_233)
    statements.length = 0
    expect(await get('/countries')).toEqual(countries)
    expect(statements).toEqual([])
  })

  it('asks for the largest cities of all countries in few statements', async () => {
    const countries = await get<{ country: string; largest: City[] }[]>('/countries/largest')
    expect(countries).toHaveLength(246)
    expect(countries.find(({ country }) => country === 'ES')?.largest.map(({ name }) => name)).toEqual([
      'Madrid',
      'Barcelona',
      'Valencia',
    ])
    const { autoBatch } = cities.monitor.snapshot().database as unknown as QueryReport
    expect(autoBatch).toMatchObject({ queries: 246, statements: 3 })
  })

  it('shows a changed population everywhere at once', async () => {
    const { population } = await get<City>(`/cities/${madrid}`)
    const largest = '/cities?country=ES&per_page=1'
    const total = async () =>
      (await get<{ country: string; population: number }[]>('/countries')).find(({ country }) => country === 'ES')
        ?.population ?? 0
    const [page, sum] = [await get<Page>(largest), await total()]
    expect(page.items[0]?.population).toBe(population)

    const response = await post(madrid, JSON.stringify({ population: population + 1 }))
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ id: madrid, population: population + 1 })
    expect((await get<City>(`/cities/${madrid}`)).population).toBe(population + 1)
    expect((await get<Page>(largest)).items[0]?.population).toBe(population + 1)
    expect(await total()).toBe(sum + 1)
    expect((await post(madrid, JSON.stringify({ population }))).status).toBe(200)
  })

  it.each([
    ['/cities?page=0', 'page'],
    ['/cities?page=-1', 'page'],
    ['/cities?page=1.5', 'page'],
    ['/cities?page=1&page=2', 'page'],
    ['/cities?per_page=0', 'per_page'],
    ['/cities?per_page=101', 'per_page'],
    ['/cities?per_page=ten', 'per_page'],
    ['/cities?sort=secret', 'sort'],
    ['/cities?sort=-population,-population', 'sort'],
    ['/cities?country=Spain', 'country'],
    ['/cities?country[]=ES', 'country'],
    ['/cities?min_population=-1', 'min_population'],
    ['/cities?min_population=1e3', 'min_population'],
    ['/cities?after=garbage', 'after'],
    ['/cities/0', 'id'],
    ['/cities/abc', 'id'],
    ['/cities/3117735%00', 'id'],
    ['/cities/1e3', 'id'],
    ['/performance/stats?sort=best', 'sort'],
  ])('answers %s with a 400 that names `%s`', async (path, parameter) => {
    const response = await call(path)
    expect(response.status).toBe(400)
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    const problem = (await response.json()) as { detail: string; issues?: { param: string }[] }
    const named = problem.issues?.map(({ param }) => param).join() ?? problem.detail
    expect(named).toContain(parameter)
  })

  it.each(['{"population": -1}', '{"population": "many"}', '{"population": 1.5}', '{}', '[]', 'null'])(
    'answers a POST of %s with a 400 that names `population`',
    async (body) => {
      const response = await post(madrid, body)
      expect(response.status).toBe(400)
      expect(await response.text()).toContain('`population`')
    },
  )

  it('answers a body that is no JSON, or too large, with a 4xx', async () => {
    for (const body of ['{"population":', 'x'.repeat(2_000_000)]) {
      const { status } = await post(madrid, body)
      expect([400, 413]).toContain(status)
    }
  })

  it('answers 404 for a city that does not exist', async () => {
    expect((await call('/cities/999999999')).status).toBe(404)
    expect((await post(999999999, '{"population": 1}')).status).toBe(404)
  })

  it('shows its own numbers', async () => {
    expect(await get<{ status: string }>('/health')).toMatchObject({ status: 'pass' })
    const stats = await get<{
      requests: { total: number }
      endpoints: { route: string }[]
      cache: Record<string, { hits: number }>
    }>('/performance/stats')
    expect(stats.requests.total).toBeGreaterThan(10)
    expect(stats.endpoints.map(({ route }) => route)).toEqual(
      expect.arrayContaining(['/cities', '/cities/:id', '/countries']),
    )
    expect(stats.cache.cities?.hits).toBeGreaterThan(0)
  })
})

describe.skipIf(!services.redis)('the cities with Redis', () => {
  it('are the same', async () => {
    const env = { REDIS_URL: services.redis, USE_REDIS_CACHE: 'true' }
    const cities = createCitiesApp({ dialect: kyselyDialect(openCities(folder)) }, settingsFromEnv(env))
    expect(await cities.find(String(madrid))).toMatchObject({ name: 'Madrid' })
    expect(cities.cache.stats().store.state).toBe('up')
    await cities.update(String(madrid), { population: 3_255_944 })
    expect(await cities.find(String(madrid))).toMatchObject({ population: 3_255_944 })
    await cities.close()
  })
})
