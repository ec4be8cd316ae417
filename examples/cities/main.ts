import { parseArgs } from 'node:util'
import { settingsFromEnv } from 'posthaste'
import { createCitiesApp } from './cities.ts'
import { kyselyDialect, openCities } from './database.ts'
import type { RunningServer } from './servers/running.ts'

const usage = `Usage: npm start -- [--server hono|express|fastify] [--port 8080] [--redis redis://localhost:6379] [--data .data]`

const servers = {
  hono: () => import('./servers/hono.ts'),
  express: () => import('./servers/express.ts'),
  fastify: () => import('./servers/fastify.ts'),
}

try {
  await start()
} catch (error) {
  console.error(sentence(error))
  process.exit(1)
}

async function start(): Promise<void> {
  const { values } = parseArgs({
    options: {
      server: { type: 'string', default: 'hono' },
      port: { type: 'string', default: '8080' },
      redis: { type: 'string' },
      data: { type: 'string', default: '.data' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    return
  }
  if (!Object.hasOwn(servers, values.server)) throw new Error(`There is no server '${values.server}'.\n${usage}`)
  const port = Number(values.port)
  if (!/^\d{1,5}$/.test(values.port) || port > 65_535) throw new Error(`'${values.port}' is not a port.\n${usage}`)
  const env =
    values.redis === undefined ? process.env : { ...process.env, REDIS_URL: values.redis, USE_REDIS_CACHE: 'true' }

  const database = openCities(values.data)
  const cities = createCitiesApp({ dialect: kyselyDialect(database) }, settingsFromEnv(env))
  const { serve } = await servers[values.server as keyof typeof servers]()
  const server = await serve(cities, port)
  cities.monitor.markStarted()
  stopOnSignal(server, () => cities.close())
  console.log(welcome(values.server, server.port))
}

function stopOnSignal(server: RunningServer, close: () => Promise<void>): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      await server.close()
      await close()
      process.exit(0)
    })
  }
}

function welcome(name: string, port: number): string {
  const url = `http://localhost:${port}`
  return `
135,233 cities, served by ${name}. Try:

  ${url}/cities?page=2&per_page=20&country=ES&min_population=100000&sort=-population
  ${url}/cities/3117735
  ${url}/countries
  curl -X POST ${url}/cities/3117735 -H 'content-type: application/json' -d '{"population": 3500000}'

  ${url}/performance/stats
  ${url}/health

Ctrl-C stops it.`
}

function sentence(error: unknown): string {
  const { code, port, message } = error as { code?: string; port?: number; message: string }
  return code === 'EADDRINUSE' ? `Port ${port} is taken: choose another with --port.` : message
}
