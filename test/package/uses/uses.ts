import type { Generated, Kysely } from 'kysely'
import {
  batchProcess,
  type Cache,
  cachedQuery,
  checkKysely,
  chunks,
  compressJson,
  createCache,
  createPaginator,
  cursorPaginate,
  instrument,
  int,
  listQuery,
  oneOf,
  type Page,
  PerformanceMonitor,
  paginate,
  poolOptions,
  queryReport,
  readRows,
  retryTransaction,
  type StatsDocument,
  settingsFromEnv,
  tags,
  withRetry,
} from 'posthaste'
import { asyncChunks } from 'posthaste/batch'
import { createCache as createCacheAlone } from 'posthaste/cache'
import { withQueryScope } from 'posthaste/database'
import { negotiateEncoding } from 'posthaste/http'
import { otelMetrics } from 'posthaste/monitor'
import { relayConnection } from 'posthaste/pagination'

interface Database {
  users: { id: Generated<number>; name: string; role: 'admin' | 'user'; team_id: number | null; created_at: Date }
  teams: { id: number; title: string }
}

export const users = listQuery({
  sort: { name: 'users.name', created_at: 'users.created_at', team: { key: 'users.team_id', nulls: 'last' } },
  defaultSort: '-created_at',
  filter: { role: oneOf('admin', 'user'), min_id: int({ min: 1 }) },
})

export const cache = createCache({ profiles: { users: '5m' }, tags: tags<'users' | `user:${number}`>() })
export const alone: Cache<'default', string> = createCacheAlone()
export const monitor = new PerformanceMonitor({ caches: { main: cache }, alerts: { responseTime: '500ms' } })

export function connect(config: Parameters<typeof instrument>[0]): ReturnType<typeof instrument> {
  return instrument(config, { invalidates: cache, slow: '100ms', nPlusOne: { mode: 'warn' } })
}

export async function pages(db: Kysely<Database>, url: string): Promise<string[]> {
  const { filter, ...q } = users.parse(url)
  let query = db.selectFrom('users').select(['users.id', 'users.name', 'users.team_id'])
  if (filter.role) query = query.where('role', '=', filter.role)
  const page: Page<{ id: number; name: string; team_id: number | null }> = await paginate(query, {
    page: 2,
    unique: 'users.id',
  })
  const total: number = page.pagination.total
  const byKeys = await cursorPaginate(query, {
    by: ['users.created_at desc', { key: 'users.team_id', nulls: 'last' }],
    unique: 'users.id',
    after: q.after ?? null,
  })
  const next: string | null = byKeys.pagination.next
  const key = q.after === undefined ? 'users.name' : 'users.created_at'
  await cursorPaginate(query, { by: [{ key, dir: 'desc' }], unique: 'users.id' })
  const snake = await createPaginator({ casing: 'snake' }).paginate(query, { unique: 'users.id', total: 'none' })
  const hasNext: boolean = snake.pagination.has_next
  const relay = await relayConnection(query, { first: 10 }, { unique: 'users.id' })
  for await (const row of readRows(query, { unique: 'users.id', size: 500 })) String(row.id)
  // @ts-expect-error -- no such column
  await cursorPaginate(query, { by: ['nobody'], unique: 'users.id' })
  return [String(total), next ?? '', String(hasNext), relay.edges[0]?.cursor ?? '']
}

export async function cached(db: Kysely<Database>, id: number): Promise<string | undefined> {
  const user = await cache.getOrSet(
    ['user', id],
    (ctx) => {
      ctx.tag(`user:${id}`)
      return db.selectFrom('users').select('name').where('id', '=', id).executeTakeFirst()
    },
    { profile: 'users', tags: ['users'] },
  )
  const find = cache.wrap(async (name: string) => name.length, { name: 'length', tags: () => ['users'] })
  const length: number = await find('Ann')
  const rows = await cachedQuery(cache, db.selectFrom('teams').select('title'), { ttl: '1m' })
  await cache.invalidateTags('users', 'table:teams')
  await cache.invalidateTags(...rows.map((_row, index) => `user:${index}` as const), { serveStale: true })
  await cache.set('key', length, { profile: 'default' })
  // @ts-expect-error -- a duration has a unit
  await cache.set('key', length, { ttl: 300 })
  return user?.name ?? rows[0]?.title
}

export async function watch(db: Kysely<Database>, meter: Parameters<typeof otelMetrics>[1]): Promise<number> {
  monitor.check('database', checkKysely(db)).on('alert', ({ id, value }) => `${id} ${value}`)
  const stop = otelMetrics(monitor, meter)
  stop()
  const document: StatsDocument = monitor.snapshot()
  const p95: number | null = document.requests.latencyMs.p95
  return p95 ?? (await monitor.health('ready')).status.length
}

export async function work(db: Kysely<Database>): Promise<number> {
  const result = await batchProcess([1, 2, 3], async (id, { signal }) => (signal.aborted ? '' : String(id)), {
    concurrency: 2,
    retry: 3,
    onError: 'skip',
  })
  const texts: string[] = result.results
  for (const chunk of chunks(texts, 2)) chunk.length
  for await (const chunk of asyncChunks(texts, 2, { maxWait: '1s' })) chunk.length
  await withQueryScope('work', () =>
    retryTransaction(db, async (trx) => trx.selectFrom('users').select('id').execute()),
  )
  return queryReport(db).queries.length + (await withRetry(() => 1, { retries: 2 }))
}

export async function answer(request: { headers: Record<string, string> }): Promise<number> {
  const { pool } = settingsFromEnv({})
  poolOptions('pg', pool)
  const { status } = await compressJson({ coding: negotiateEncoding(request.headers['accept-encoding']) }, request)
  return status
}
