import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCrm } from '../../examples/crm/crm.ts'
import { services } from '../support/services.ts'

interface Running {
  call(path: string, init?: RequestInit): Promise<Response>
  close(): Promise<void>
}

async function start(env: Record<string, string> = {}): Promise<Running> {
  const { app, close } = await createCrm(env)
  const server: Server = app.listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    call: (path, init) => fetch(`http://localhost:${port}${path}`, init),
    async close() {
      server.close()
      server.closeAllConnections()
      await close()
    },
  }
}

const json = (method: string, body: unknown): RequestInit => ({
  method,
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
})

describe('the document, endpoint by endpoint', () => {
  let crm: Running
  beforeAll(async () => {
    crm = await start()
  })
  afterAll(() => crm.close())

  it('answers the page of users key for key', async () => {
    const response = await crm.call('/users/?page=2&per_page=20&active_only=true&role=admin')
    expect(response.status).toBe(200)
    const body = (await response.json()) as { items: Record<string, unknown>[] }
    expect(Object.keys(body)).toEqual(['items', 'pagination'])
    expect(JSON.stringify((body as { pagination?: unknown }).pagination)).toBe(
      '{"page":2,"per_page":20,"total":150,"total_pages":8,"has_next":true,"has_prev":true}',
    )
    expect(body.items).toHaveLength(20)
    expect(body.items.every(({ role, is_active }) => role === 'admin' && is_active === true)).toBe(true)
  })

  it.each([
    ['per_page=101', 'per_page'],
    ['per_page=0', 'per_page'],
    ['page=0', 'page'],
    ['role=root', 'role'],
    ['active_only=maybe', 'active_only'],
    ['since=yesterday', 'since'],
    ['sort=password', 'sort'],
  ])('refuses ?%s with a message that names the parameter', async (query, parameter) => {
    const response = await crm.call(`/users/?${query}`)
    expect(response.status).toBe(400)
    const { issues, detail } = (await response.json()) as {
      issues: { param: string; message: string }[]
      detail: string
    }
    expect(issues.map(({ param }) => param)).toEqual([parameter])
    expect(detail).toContain(parameter)
  })

  it('shows a changed user in the list at once', async () => {
    const list = '/users/?role=admin&sort=name&per_page=100'
    const before = (await (await crm.call(list)).json()) as { items: { id: number; name: string }[] }
    const user = before.items[0]
    const response = await crm.call(`/users/${user?.id}`, json('PATCH', { name: 'Aaron Zero' }))
    expect(response.status).toBe(200)
    const after = (await (await crm.call(list)).json()) as typeof before
    expect(after.items.find(({ id }) => id === user?.id)?.name).toBe('Aaron Zero')
    expect(await (await crm.call(`/users/${user?.id}`)).json()).toMatchObject({ name: 'Aaron Zero' })
  })

  it('switches users off in a batch, and tells which could not be', async () => {
    const response = await crm.call('/users/deactivate', json('POST', { ids: [1, 2, 9_999, 'x'] }))
    expect(response.status).toBe(200)
    const { processed, failures } = (await response.json()) as { processed: number; failures: { id: unknown }[] }
    expect(failures.map(({ id }) => id)).toEqual([9_999, 'x'])
    expect(processed).toBe(4)
    expect(await (await crm.call('/users/1')).json()).toMatchObject({ is_active: false })
  })

  it('exports every user as a line', async () => {
    const lines = (await (await crm.call('/users/export')).text()).trim().split('\n')
    expect(lines).toHaveLength(1_000)
    expect(new Set(lines.map((line) => (JSON.parse(line) as { id: number }).id)).size).toBe(1_000)
  })

  it('shows what it did in `/performance/stats` and `/health`', async () => {
    const stats = (await (await crm.call('/performance/stats')).json()) as { endpoints: { route: string }[] }
    expect(stats).toMatchObject({
      requests: { latency_ms: { avg: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) } },
      system: { memory: { rss_bytes: expect.any(Number) } },
      cache: { crm: { hit_rate: expect.any(Number) } },
      database: { queries: expect.any(Array), n_plus_one: [] },
    })
    expect(stats.endpoints.map(({ route }) => route)).toContain('/users/')
    expect(await (await crm.call('/health')).json()).toMatchObject({ status: 'pass' })
  })
})

describe('the variables of its environment', () => {
  it('set the sizes of pages', async () => {
    const crm = await start({ DEFAULT_PAGE_SIZE: '7', MAX_PAGE_SIZE: '50' })
    const page = (await (await crm.call('/users/')).json()) as { pagination: { per_page: number } }
    expect(page.pagination.per_page).toBe(7)
    expect((await crm.call('/users/?per_page=50')).status).toBe(200)
    expect((await crm.call('/users/?per_page=51')).status).toBe(400)
    await crm.close()
  })

  it('stop the start when one holds garbage, and name it', async () => {
    for (const name of ['MAX_PAGE_SIZE', 'CACHE_TTL_USERS', 'ALERT_CPU_THRESHOLD', 'DB_POOL_SIZE', 'USE_REDIS_CACHE']) {
      await expect(createCrm({ [name]: 'garbage' })).rejects.toThrow(name)
    }
  })

  it('set how long users are cached', async () => {
    const crm = await start({ CACHE_TTL_USERS: '0' })
    await crm.call('/users/')
    await crm.call('/users/')
    const stats = (await (await crm.call('/performance/stats')).json()) as {
      cache: { crm: { hits: number; misses: number } }
    }
    expect(stats.cache.crm).toMatchObject({ hits: 0, misses: 2 })
    await crm.close()
  })

  it.skipIf(!services.redis)('switch the cache to Redis', async () => {
    const crm = await start({ USE_REDIS_CACHE: 'true', REDIS_URL: services.redis ?? '' })
    await crm.call('/users/')
    const stats = (await (await crm.call('/performance/stats')).json()) as { cache: { crm: { state: string } } }
    expect(stats.cache.crm.state).toBe('up')
    await crm.close()
  })

  it.skipIf(!services.postgres)('switch the database to PostgreSQL, through a tuned pool', async () => {
    const { default: pg } = await import('pg')
    const admin = new pg.Client(services.postgres)
    const name = `crm_${process.pid}_${Date.now()}`
    await admin.connect()
    await admin.query(`create database ${name}`)
    const url = new URL(services.postgres ?? '')
    url.pathname = `/${name}`
    const crm = await start({ DATABASE_URL: url.href, DB_POOL_SIZE: '2', DB_MAX_OVERFLOW: '1' })
    const page = (await (await crm.call('/users/?role=admin&page=2&per_page=20')).json()) as {
      pagination: { total: number }
    }
    expect(page.pagination.total).toBe(150)
    await crm.close()
    await admin.query(`drop database ${name}`)
    await admin.end()
  })
})
