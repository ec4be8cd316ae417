/** The cities example, or one that queries for each answer: `node countries-server.ts <framework> <way> <folder>`. */
import { settingsFromEnv } from 'posthaste'
import { createCitiesApp } from '../../examples/cities/cities.ts'
import { kyselyDialect, openCities } from '../../examples/cities/database.ts'

const servers = {
  Express: () => import('../../examples/cities/servers/express.ts'),
  Fastify: () => import('../../examples/cities/servers/fastify.ts'),
  Hono: () => import('../../examples/cities/servers/hono.ts'),
}

const [framework = '', way, folder = ''] = process.argv.slice(2)
const database = { dialect: kyselyDialect(openCities(folder)) }
const cities = createCitiesApp(database, settingsFromEnv({ USE_REDIS_CACHE: 'false' }))
const uncached = {
  ...cities,
  async countries() {
    await cities.cache.invalidateTags('cities')
    return cities.countries()
  },
}
const { serve } = await servers[framework as keyof typeof servers]()
const { port } = await serve(way === 'uncached' ? uncached : cities, 0)
process.send?.({ port })
process.on('message', () => process.send?.(process.cpuUsage()))
process.on('disconnect', () => process.exit())
