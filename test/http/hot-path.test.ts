import zlib from 'node:zlib'
import Database from 'better-sqlite3'
import type { KyselyConfig } from 'kysely'
import { settingsFromEnv } from 'posthaste'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type CitiesApp, createCitiesApp } from '../../examples/cities/cities.ts'
import { kyselyDialect } from '../../examples/cities/database.ts'
import { serve as serveExpress } from '../../examples/cities/servers/express.ts'
import { serve as serveFastify } from '../../examples/cities/servers/fastify.ts'
import { serve as serveHono } from '../../examples/cities/servers/hono.ts'
import type { RunningServer } from '../../examples/cities/servers/running.ts'
import { ask } from '../support/answering.ts'

const encoders = [
  'gzipSync',
  'gzip',
  'brotliCompressSync',
  'brotliCompress',
  'zstdCompressSync',
  'zstdCompress',
] as const

/** A table with one city in each of many countries. */
function openCities(): Database.Database {
  const database = new Database(':memory:')
  database.exec('create table cities (id integer primary key, name text, country text, population integer)')
  const insert = database.prepare('insert into cities values (?, ?, ?, ?)')
  for (let id = 1; id <= 240; id++) insert.run(id, `City ${id}`, `C${id}`, id * 1_000)
  return database
}

describe.each(Object.entries({ express: serveExpress, fastify: serveFastify, hono: serveHono }))(
  'the cities on %s',
  (_name, serve) => {
    let cities: CitiesApp
    let server: RunningServer
    let queries: number

    beforeEach(async () => {
      queries = 0
      const database: KyselyConfig = {
        dialect: kyselyDialect(openCities()),
        log: () => {
          queries++
        },
      }
      cities = createCitiesApp(database, settingsFromEnv({ USE_REDIS_CACHE: 'false' }))
      server = await serve(cities, 0)
    })
    afterEach(async () => {
      vi.restoreAllMocks()
      await server.close()
      await cities.close()
    })

    it('answers a hot GET /countries without a query, without making JSON, and without compressing', async () => {
      const get = () => ask(server.port, { path: '/countries', headers: { 'accept-encoding': 'gzip, br' } })
      const cold = await get()
      expect(cold.headers['content-encoding']).toBe('br')
      const answer = zlib.brotliDecompressSync(cold.body).toString()
      expect(JSON.parse(answer).length).toBeGreaterThan(200)
      expect(answer).toContain('"country"')

      const stringify = vi.spyOn(JSON, 'stringify')
      const compressions = encoders.filter((name) => name in zlib).map((name) => vi.spyOn(zlib, name as 'gzipSync'))
      const queriesBefore = queries
      expect(queriesBefore).toBeGreaterThan(0)
      for (let request = 0; request < 20; request++) {
        const hot = await get()
        expect(hot.headers['cache-status']).toBe('posthaste; hit')
        expect(hot.body.equals(cold.body)).toBe(true)
      }
      expect(queries).toBe(queriesBefore)
      // Other test files share this process, and so may their timers.
      expect(stringify.mock.results.filter(({ value }) => String(value).includes('"country"'))).toEqual([])
      expect(compressions.flatMap(({ mock }) => mock.calls)).toEqual([])
    })
  },
)
