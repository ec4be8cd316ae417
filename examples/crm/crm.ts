import type { Express } from 'express'
import express from 'express'
import {
  batchProcess,
  ClientInputError,
  createCache,
  createPaginator,
  date,
  flag,
  listQuery,
  oneOf,
  PerformanceMonitor,
  readRows,
  settingsFromEnv,
} from 'posthaste'
import { answerErrors, compressResponses, monitorRequests, performanceRoutes } from 'posthaste/express'
import { connect, migrate, type UserTable } from './database.ts'

/** The CRM: an Express application, and what to close with it. */
export interface Crm {
  readonly app: Express
  close(): Promise<void>
}

/** A mistake in a path or a body. */
class InputError extends ClientInputError {
  readonly code = 'ERR_INPUT'
}

type Env = Readonly<Record<string, string | undefined>>

export async function createCrm(env: Env = process.env): Promise<Crm> {
  const settings = settingsFromEnv(env)
  const cache = createCache({
    name: 'crm',
    profiles: { users: '5m' },
    ...settings.cache,
  })
  const monitor = new PerformanceMonitor({ service: 'crm', caches: { crm: cache }, alerts: settings.alerts })
  const db = connect(env.DATABASE_URL, settings.pool, monitor, cache)
  await migrate(db)
  const { paginate } = createPaginator({ casing: 'snake', ...settings.pagination })

  const users = listQuery({
    sort: {
      created_at: 'users.created_at',
      name: 'users.name',
      last_login: { key: 'users.last_login', nulls: 'last' },
    },
    defaultSort: '-created_at',
    filter: { role: oneOf('admin', 'manager', 'user'), active_only: flag({ default: true }), since: date() },
    ...settings.pagination,
  })

  const app = express()
  app.use(monitorRequests(monitor))
  app.use(compressResponses({ monitor }))
  app.use(performanceRoutes(monitor))
  app.use(express.json({ strict: false }))

  app.get('/users/', async (request, response) => {
    const { filter, ...page } = users.parse(request.query)
    const list = await cache.getOrSet(
      ['users', page.key],
      async () => {
        let query = db.selectFrom('users').selectAll()
        if (filter.role !== undefined) query = query.where('role', '=', filter.role)
        if (filter.active_only) query = query.where('is_active', '=', 1)
        if (filter.since !== undefined) query = query.where('created_at', '>=', filter.since.toISOString())
        const { items, pagination } = await paginate(query, { ...page, unique: 'users.id' })
        return { items: items.map(toJson), pagination }
      },
      { profile: 'users', tags: 'auto' },
    )
    response.json(list)
  })

  // Every user as a line of JSON. Memory stays flat: rows come in chunks, and wait while the client reads.
  app.get('/users/export', async (_request, response) => {
    response.type('application/x-ndjson')
    for await (const user of readRows(db.selectFrom('users').selectAll(), { unique: 'users.id' })) {
      if (!response.write(`${JSON.stringify(toJson(user))}\n`))
        await new Promise((resolve) => response.once('drain', resolve))
    }
    response.end()
  })

  app.get('/users/:id', async (request, response) => {
    const id = parseId(request.params.id)
    const user = await cache.getOrSet(
      ['user', id],
      () => db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst(),
      { profile: 'users', tags: 'auto' },
    )
    if (user === undefined)
      response.status(404).json({ title: 'Not Found', status: 404, detail: 'There is no such user' })
    else response.json(toJson(user))
  })

  app.patch('/users/:id', async (request, response) => {
    const id = parseId(request.params.id)
    const { name } = request.body ?? {}
    if (typeof name !== 'string' || name === '' || name.length > 100)
      throw new InputError('`name` must be 1 to 100 characters')
    const user = await db.updateTable('users').set({ name }).where('id', '=', id).returningAll().executeTakeFirst()
    if (user === undefined) {
      response.status(404).json({ title: 'Not Found', status: 404, detail: 'There is no such user' })
      return
    }
    response.json(toJson(user))
  })

  // Switches many users off, ten at a time, and tells which could not be.
  app.post('/users/deactivate', async (request, response) => {
    const ids: unknown = request.body?.ids
    if (!Array.isArray(ids) || ids.length > 1_000)
      throw new InputError('`ids` must be a list of at most 1,000 user ids')
    const { processed, failures } = await batchProcess(
      ids,
      async (id) => {
        const changed = await db
          .updateTable('users')
          .set({ is_active: 0 })
          .where('id', '=', parseId(id))
          .returning('id')
          .execute()
        if (changed.length === 0) throw new InputError('There is no such user')
      },
      { onError: 'skip', concurrency: 10 },
    )
    response.json({
      processed,
      failures: failures.map(({ items: [id], error }) => ({ id, reason: (error as Error).message })),
    })
  })

  app.use(answerErrors())
  monitor.markStarted()

  return {
    app,
    async close() {
      await monitor.close()
      await cache.close()
      await db.destroy()
    },
  }
}

function toJson({ is_active, ...user }: Omit<UserTable, 'id'> & { id: number }) {
  return { ...user, is_active: is_active === 1 }
}

function parseId(value: unknown): number {
  if (!/^[1-9]\d{0,8}$/.test(String(value))) throw new InputError('`id` must be a whole number from 1 up')
  return Number(value)
}
