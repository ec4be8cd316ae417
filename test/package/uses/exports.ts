// A library or a Nest project exports what the package makes, without writing types: the compiler must be able to name them.
import type { FastifyRequest } from 'fastify'
import { type Generated, Kysely, type SqliteDialect } from 'kysely'
import * as p from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'

interface Database {
  users: { id: Generated<number>; name: string; last: Date | null }
}
declare const dialect: SqliteDialect
export const db = new Kysely<Database>(p.instrument({ dialect }, { autoBatch: true }))
const users = () => db.selectFrom('users').selectAll()

export const paginator = p.createPaginator({ casing: 'snake', secret: 'x' })
export const list = p.listQuery({
  sort: { name: 'users.name', last: { key: 'users.last', nulls: 'last' } },
  filter: {
    role: p.oneOf('a', 'b'),
    flag: p.flag({ default: true }),
    min: p.int({ min: 1 }),
    text: p.text({ max: 3 }),
  },
})
export const parsed = list.parse('')
export const schema = list.jsonSchema()
export const page = () => p.paginate(users(), { ...list.parse(''), unique: 'users.id' })
export const pageByKeys = () => p.cursorPaginate(users(), { by: ['name'], unique: 'id', total: { atMost: 5 } })
export const connection = () => p.relayConnection(users(), { first: 1 }, { unique: 'id' })
export const rows = () => p.readRows(users(), { unique: 'id' })
export const chunks = () => p.readChunks(users(), { unique: 'id' })
export const plan = () => p.explainPage(users(), { unique: 'id' })
export const pageSchema = p.pageSchema({ type: 'object' })
export const link = p.linkHeader

export const cache = p.createCache({ profiles: { a: '1m', b: { ttl: '1h', stale: '1d' } } })
export const tagged = p.createCache({ tags: p.tags<'users' | `user:${number}`>() })
export const wrapped = cache.wrap(async (id: number) => ({ id }), { name: 'x' })
export const http = cache.http(async () => new Response(''), { ttl: '1m' })
export const cacheStats = () => cache.stats()
export const explained = () => cache.explain('x')
export const cachedUsers = () => p.cachedQuery(cache, users())

export const monitor = new p.PerformanceMonitor({ alerts: { cpu: 3 } })
export const snapshot = () => monitor.snapshot()
export const history = () => monitor.snapshot().history
export const parts = () => [monitor.admission(), monitor.system(), monitor.alerts(), monitor.health()] as const
export const fleet = p.clusterFleet()
export const check = p.checkKysely(db)
export class Monitor extends p.PerformanceMonitor {}

export const settings = p.settingsFromEnv()
export const pool = p.poolOptions('pg', settings.pool)
export const report = () => p.queryReport(db)
export const retried = () => p.retryTransaction(db, async (trx) => trx.selectFrom('users').selectAll().execute())
export const scope = () => p.requestScope()
export const scoped = () => p.withQueryScope('x', async () => 1)
export const batch = () => p.batchProcess([1, 2], async (x) => x + 1)
export const batches = () => p.mapBatches([1, 2], async (x: readonly number[]) => x.map(String))
export const processor = () => async (item: number, context: p.BatchContext) => ({ item, context })
export const inTransaction = () => async (item: number, context: p.BatchContext<Database>) => ({ item, context })
export const contexts = () => p.batchProcessChunks([1, 2], async (items, context) => items.map(() => context))
export const compressor = p.createCompressor({})
export const problem = () => p.problemDetails(new Error())

export const express = {
  monitorRequests: onExpress.monitorRequests(monitor),
  performanceRoutes: onExpress.performanceRoutes(monitor, { authorize: (request) => request.path === '/' }),
  compressResponses: onExpress.compressResponses(),
  cacheResponses: onExpress.cacheResponses(cache, { ttl: '1m' }),
  freshness: onExpress.freshness(cache, { tags: ['table:x'] }),
  shedLoad: onExpress.shedLoad(monitor),
  answerErrors: onExpress.answerErrors(),
  monitorUpgrades: onExpress.monitorUpgrades,
}
export const hono = {
  monitorRequests: onHono.monitorRequests(monitor),
  performanceRoutes: onHono.performanceRoutes(monitor),
  compressResponses: onHono.compressResponses(),
  cacheResponses: onHono.cacheResponses(cache, { ttl: '1m' }),
  freshness: onHono.freshness(cache, { tags: ['table:x'] }),
  shedLoad: onHono.shedLoad(monitor),
  answerErrors: onHono.answerErrors(),
}
export const fastify = {
  monitorRequests: onFastify.monitorRequests,
  performanceRoutes: onFastify.performanceRoutes,
  compressResponses: onFastify.compressResponses,
  cacheResponses: onFastify.cacheResponses,
  freshness: onFastify.freshness,
  route: { ...onFastify.freshness(cache) },
  shedLoad: onFastify.shedLoad,
  answerErrors: onFastify.answerErrors(),
  copy: (request: FastifyRequest) => ({ ...request }),
}
