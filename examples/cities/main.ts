import { parseArgs } from 'node:util'
import { type Settings, settingsFromEnv } from 'posthaste'
import { type CitiesApp, createCitiesApp } from './cities.ts'
import { kyselyDialect, openCities } from './database.ts'
import type { RunningServer } from './servers/running.ts'

const usage = `Usage: npm start -- [--server hono|express|fastify] [--port 8080] [--redis redis://localhost:6379]
       [--data .data | --database postgres://localhost/cities]`

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
      database: { type: 'string' },
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

  const settings = settingsFromEnv(env)
  const cities =
    values.database === undefined
      ? createCitiesApp({ dialect: kyselyDialect(openCities(values.data)) }, settings)
      : await openOnPostgres(values.database, settings)
  const { serve } = await servers[values.server as keyof typeof servers]()
  const server = await serve(cities, port)
  cities.monitor.markStarted()
  cities.cache.on('state', ({ state }) => console.log(`The state of Redis: ${state}.`))
  stopOnSignal(server, () => cities.close())
  console.log(welcome(values.server, server.port))
}

async function openOnPostgres(url: string, settings: Settings): Promise<CitiesApp> {
  if (!/^postgres(ql)?:\/\//.test(url)) throw new Error(`--database takes the URL of a PostgreSQL database.\n${usage}`)
  const { openPostgres } = await import('./postgres.ts')
  const { dialect, pool } = await openPostgres(url, settings.pool)
  return createCitiesApp({ dialect }, settings, pool)
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
  ${url}/countries/largest
  curl -X POST ${url}/cities/3117735 -H 'content-type: application/json' -d '{"population": 3500000}'

  ${url}/performance
  ${url}/performance/stats
  ${url}/health

Ctrl-C stops it.`
}

function sentence(error: unknown): string {
  const { code, port, message } = error as { code?: string; port?: number; message: string }
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} is taken: choose another with --port.`
    case 'ECONNREFUSED':
      return 'No PostgreSQL answers at the address that --database gives. Is it running?'
    case '3D000':
      return `${message}: create it first, as with \`createdb\`.`
    default:
      return code?.startsWith('ERR_PARSE_ARGS') ? `${message}\n${usage}` : message
  }
}
