import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { type QueryReport, settingsFromEnv } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CitiesApp, createCitiesApp } from '../../examples/cities/cities.ts'
import { openPostgres } from '../../examples/cities/postgres.ts'
import { services } from '../support/services.ts'

describe.skipIf(services.postgres === undefined)('the cities on PostgreSQL', () => {
  const name = `cities_${randomUUID().replaceAll('-', '')}`
  const url = Object.assign(new URL(services.postgres ?? 'postgres://none'), { pathname: `/${name}` }).href
  const settings = settingsFromEnv({})
  const admin = async (sql: string) => {
    const client = new pg.Client(services.postgres)
    await client.connect()
    await client.query(sql)
    await client.end()
  }
  let cities: CitiesApp

  beforeAll(async () => {
    await admin(`create database ${name}`)
    const { dialect, pool } = await openPostgres(url, settings.pool)
    cities = createCitiesApp({ dialect }, settings, pool)
  }, 120_000)
  afterAll(async () => {
    await cities?.close()
    await admin(`drop database ${name} with (force)`)
  })

  it('answers as on SQLite', async () => {
    expect(await cities.list('country=ES&min_population=100000&sort=-population')).toMatchObject({
      items: { 0: { name: 'Madrid', country: 'ES' }, length: 10 },
      pagination: { total: 90, total_pages: 9, has_next: true },
    })
    const countries = await cities.countries()
    expect(countries.reduce((sum, { cities }) => sum + cities, 0)).toBe(135_233)
    expect(await cities.update('3117735', { population: 1 })).toMatchObject({ name: 'Madrid', population: 1 })
    expect(await cities.find('3117735')).toMatchObject({ population: 1 })
  })

  it('asks for the largest cities of all countries in one statement', async () => {
    expect(await cities.largest()).toHaveLength(246)
    const { autoBatch } = cities.monitor.snapshot().database as unknown as QueryReport
    expect(autoBatch).toMatchObject({ queries: 246, statements: 1 })
  })

  it('loads nothing a second time, and refuses a table that is not its own', async () => {
    const { dialect, pool } = await openPostgres(url, settings.pool)
    const again = createCitiesApp({ dialect }, settings, pool)
    expect(await again.find('2509954')).toMatchObject({ name: 'Valencia' })
    await again.close()
    const client = new pg.Client(url)
    await client.connect()
    await client.query('comment on table cities is null')
    await client.end()
    await expect(openPostgres(url, settings.pool)).rejects.toThrow('another table called `cities`')
  })
})
