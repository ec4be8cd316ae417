import { createServer, type Server } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import express from 'express'
import { PerformanceMonitor } from 'posthaste'
import { performanceRoutes } from 'posthaste/express'

export interface DemoOptions {
  /** How many endpoints have had requests. */
  readonly endpoints?: number
  /** How many of them are slow, so that they have an alert each. */
  readonly slowEndpoints?: number
  readonly seconds?: number
}

const routes = [
  'GET /users',
  'GET /users/:id',
  'POST /users',
  'GET /companies/:company/contacts',
  'GET /companies/:company/contacts/:id',
  'PATCH /companies/:company/contacts/:id',
  'GET /search',
  'POST /reports/export',
  'GET /invoices/:invoice/lines',
  'DELETE /sessions/:id',
]

/**
 * A server whose monitor has seen some minutes of traffic: recorded in a moment, with a clock that runs as told. The numbers are
 * the same in each run, except those of the machine.
 */
export async function startDemo({
  endpoints = routes.length,
  slowEndpoints = 1,
  seconds = 320,
}: DemoOptions = {}): Promise<{
  readonly monitor: PerformanceMonitor
  readonly server: Server
  readonly url: string
}> {
  const random = randomFrom(7)
  const clock = { now: Date.UTC(2026, 0, 5, 12, 0, 0) }
  const caches = { users: { hits: 0, misses: 0 }, reports: { hits: 0, misses: 0 } }
  const statsOf = (counters: { hits: number; misses: number }, state: string) => () => ({
    ...counters,
    errors: 0,
    hitRate: 0,
    errorRate: 0,
    store: { state },
  })
  const monitor = new PerformanceMonitor({
    service: 'crm',
    release: '1.4.2',
    instance: 'crm-7d9f4',
    // The samples are taken below: this only makes the monitor measure the event loop.
    sampleInterval: '1h',
    clock: () => clock.now,
    caches: { users: { stats: statsOf(caches.users, 'up') }, reports: { stats: statsOf(caches.reports, 'degraded') } },
    onWarn: () => {},
  })
  monitor.addSource('database', () => ({
    queries: [
      {
        shape: 'select * from "contacts" where "company_id" = $1 order by "name" limit $2',
        count: 1_033,
        errors: 0,
        totalMs: 9_120,
        p95Ms: 31,
        maxMs: 412,
      },
    ],
    slow: [],
    nPlusOne: [],
    autoBatch: {
      queries: 4_120,
      statements: 310,
      shapes: [
        { shape: 'select * from "owners" where "id" = $1', queries: 4_120, statements: 310 },
        {
          shape: 'select * from "jobs" where "id" = $1 for update',
          queries: 90,
          statements: 90,
          refused: 'locks rows',
        },
      ],
    },
  }))
  const names = Array.from({ length: endpoints }, (_, index) => routes[index] ?? nameOf(index))
  const open: number[] = []
  for (let second = 0; second < seconds; second++) {
    clock.now += 1_000
    const load = 1 + 0.35 * Math.sin(second / 40) + 0.1 * Math.sin(second / 9)
    for (const [index, name] of names.entries()) {
      const [method = '', route = ''] = name.split(' ')
      const perSecond = (30 * load) / (1 + index * 0.8)
      const isSlow = index >= endpoints - slowEndpoints
      const count = Math.floor(isSlow ? Math.max(perSecond, 0.4) + random() : perSecond + random())
      for (let request = 0; request < count; request++) {
        const ms = (isSlow ? 620 : 3 + (index % 9) * 4) * load * Math.exp(0.7 * normal(random))
        const status = random() < (index === 6 ? 0.015 : 0.002) ? 500 : random() < 0.02 ? 404 : 200
        const isAborted = ms > 900 && random() < 0.2
        monitor.record(method, route, status, clock.now - ms, isAborted ? 'aborted' : 'completed')
      }
      caches.users.hits += count * 4
      caches.users.misses += random() < 0.3 ? 1 : 0
      caches.reports.hits += index % 3
      caches.reports.misses += index % 2
    }
    const inFlight = Math.round(4 * load + 2 * random())
    while (open.length < inFlight) open.push(monitor.start())
    while (open.length > inFlight) monitor.record('GET', '/events', 200, open.shift() as number, 'stream')
    // The event loop of a server rests now and then.
    await setTimeout(2 + 6 * random())
    await monitor.sample()
  }
  const app = express().use(performanceRoutes(monitor, { authorize: 'public' }))
  const server = createServer(app).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  return { monitor, server, url: `http://127.0.0.1:${port}/performance` }
}

const words = [
  'accounts',
  'orders',
  'documents',
  'shipments',
  'warehouses',
  'notifications',
  'permissions',
  'subscriptions',
]

/** Every eleventh name is far too long. */
function nameOf(index: number): string {
  const word = (step: number) => words[(index * step + 3) % words.length]
  const method = ['GET', 'POST', 'PUT', 'DELETE'][index % 4]
  const deep =
    index % 11 === 0 ? `/${word(3)}/:${word(5)}Id/by-custom-field/:field/and-another-one-that-nobody-shortened` : ''
  return `${method} /api/v${1 + (index % 3)}/${word(1)}/:id${deep}/${word(7)}-${index}`
}

/** Mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}
