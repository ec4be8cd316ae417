/**
 * `GET /rows`: 100 rows of SQLite in memory, whose entity tag stands for their table. `GET /bare`: a 304 of the framework alone.
 * `node fresh-server.ts <framework> [<address of Redis>]`.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { getRequestListener } from '@hono/node-server'
import { Kysely, SqliteDialect } from 'kysely'
import { createCache, instrument, nodeSqlite } from 'posthaste'

const [framework = '', redis] = process.argv.slice(2)
const cache = createCache(redis === undefined ? {} : { redis, namespace: `bench-fresh-${process.pid}` })
const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
const db = new Kysely<{ users: { id: number; name: string; email: string; city: string; created_at: string } }>(
  instrument({ dialect }, { invalidates: cache }),
)
await db.schema
  .createTable('users')
  .addColumn('id', 'integer', (column) => column.primaryKey())
  .addColumn('name', 'text')
  .addColumn('email', 'text')
  .addColumn('city', 'text')
  .addColumn('created_at', 'text')
  .execute()
const rows = Array.from({ length: 100 }, (_, id) => {
  return {
    id,
    name: `User ${id}`,
    email: `user${id}@example.com`,
    city: `City ${id % 7}`,
    created_at: '2026-01-01T00:00:00Z',
  }
})
await db.insertInto('users').values(rows).execute()
const readRows = () => db.selectFrom('users').selectAll().orderBy('id').execute()
const etag = 'W/"Zm9vYmFyYmF6cXV4cXV1eGNvcmc"'

const servers: Readonly<Record<string, () => Promise<Server>>> = {
  async Node() {
    return createServer((_request, response) => void response.writeHead(304, { etag }).end())
  },
  async Express() {
    const { default: express } = await import('express')
    const { freshness } = await import('posthaste/express')
    const app = express()
    app.get('/bare', (_request, response) => void response.status(304).set('etag', etag).end())
    app.get('/rows', freshness(cache) as never, async (_request, response) => void response.json(await readRows()))
    return createServer(app)
  },
  async Fastify() {
    const { default: fastify } = await import('fastify')
    const { freshness } = await import('posthaste/fastify')
    const app = fastify()
    app.get('/bare', (_request, reply) => void reply.code(304).header('etag', etag).send())
    app.get('/rows', { ...freshness(cache) } as never, readRows)
    await app.ready()
    return app.server
  },
  async Hono() {
    const { Hono } = await import('hono')
    const { freshness } = await import('posthaste/hono')
    const app = new Hono()
    app.get('/bare', (c) => c.body(null, 304, { etag }))
    app.get('/rows', freshness(cache), async (c) => c.json(await readRows()))
    return createServer(getRequestListener(app.fetch) as RequestListener)
  },
}

const server = await servers[framework]?.()
server?.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('message', () => process.send?.(process.cpuUsage()))
process.on('disconnect', () => process.exit())
