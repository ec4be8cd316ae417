import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import { PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { frameworks, type Running } from '../support/frameworks.ts'

/** An open stream, and its events as they come. */
interface Follower {
  readonly response: IncomingMessage
  readonly events: string[]
  leave(): void
}

function follow(url: string): Promise<Follower> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers: { 'accept-encoding': 'gzip, br' } }, (response) => {
      const events: string[] = []
      response.setEncoding('utf8')
      response.on('data', (text: string) => events.push(text))
      response.on('error', () => {})
      resolve({ response, events, leave: () => request.destroy() })
    })
    request.on('error', reject)
    onTestFinished(() => void request.destroy())
  })
}

/** Time goes on as it does, and can be skipped besides. */
function skippableTime(): (ms: number) => Promise<unknown> {
  const now = performance.now.bind(performance)
  let skipped = 0
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], shouldAdvanceTime: true })
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + skipped)
  onTestFinished(() => {
    clock.mockRestore()
    vi.useRealTimers()
  })
  return (ms) => {
    skipped += ms
    return vi.advanceTimersByTimeAsync(ms)
  }
}

const documentOf = (event: string | undefined) =>
  JSON.parse(/^data: (.*)$/m.exec(event ?? '')?.[1] ?? 'null') as { schema: string; scope: string } | null

describe.each(Object.entries(frameworks))('the live page on %s', (_name, start) => {
  let monitor: PerformanceMonitor
  let server: Running
  let snapshots: number

  beforeEach(async () => {
    monitor = new PerformanceMonitor({ service: 'crm', sampleInterval: false })
    snapshots = 0
    const snapshot = monitor.snapshotInTurns.bind(monitor)
    monitor.snapshotInTurns = (query) => {
      snapshots++
      return snapshot(query)
    }
    server = await start(monitor)
  })
  afterEach(async () => {
    await server.close()
    await monitor.close()
  })

  it('is one document that may not be stored, framed, or load anything', async () => {
    await fetch(`${server.url}/users/1`)
    const response = await fetch(`${server.url}/performance`)
    const page = await response.text()
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('x-robots-tag')).toBe('noindex')
    expect(page).toContain('<h1>crm</h1>')
    expect(page).toContain('</span> /<wbr>users/<wbr>:id</th>')
    expect(Buffer.byteLength(page)).toBeLessThan(80_000)
    const policy = response.headers.get('content-security-policy') ?? ''
    const [, nonce] = /script-src 'nonce-([\w+/=]{20,})'/.exec(policy) ?? []
    expect(page).toContain(`<script nonce="${nonce}">`)
    expect(page).toContain(`<style nonce="${nonce}">`)
  })

  it('has a new nonce for each answer', async () => {
    const policies = await Promise.all(
      [1, 2].map(async () => (await fetch(`${server.url}/performance`)).headers.get('content-security-policy')),
    )
    expect(policies[0]).not.toBe(policies[1])
  })

  it('streams one snapshot a second to all who follow, and stops with the last of them', async () => {
    const skip = skippableTime()
    const followers = await Promise.all([1, 2, 3].map(() => follow(`${server.url}/performance/stream`)))
    await expect.poll(() => followers.every(({ events }) => events.length >= 1)).toBe(true)
    await skip(1_000)
    await expect.poll(() => followers.every(({ events }) => events.length >= 2)).toBe(true)
    const [{ response, events }] = followers as [Follower]
    expect(response.statusCode).toBe(200)
    expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8')
    expect(response.headers['cache-control']).toBe('no-store, no-transform')
    expect(response.headers['content-encoding']).toBeUndefined()
    expect(documentOf(events[0])).toMatchObject({ schema: 'posthaste.performance/1', scope: 'instance' })
    expect(snapshots).toBeLessThanOrEqual(4)
    for (const { leave } of followers) leave()
    await expect.poll(() => vi.getTimerCount()).toBe(0)
    const before = snapshots
    await skip(60_000)
    expect(snapshots).toBe(before)
  })

  it('answers 503 to the eleventh client, until one of the ten has left', async () => {
    const url = `${server.url}/performance/stream`
    const followers = await Promise.all(Array.from({ length: 10 }, () => follow(url)))
    await expect.poll(() => followers.every(({ events }) => events.length > 0)).toBe(true)
    const refused = await fetch(url)
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('5')
    followers[0]?.leave()
    await expect
      .poll(async () => {
        const { response, leave } = await follow(url)
        leave()
        return response.statusCode
      })
      .toBe(200)
  })

  it('counts no client for a HEAD of the stream', async () => {
    const url = `${server.url}/performance/stream`
    for (let count = 0; count < 11; count++) {
      const response = await fetch(url, { method: 'HEAD' })
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    }
    const { events } = await follow(url)
    await expect.poll(() => events.length).toBeGreaterThan(0)
  })

  it('refuses a scope that there is not', async () => {
    for (const path of ['/performance', '/performance/stream']) {
      const response = await fetch(`${server.url}${path}?scope=world`)
      expect(response.status).toBe(400)
      expect(((await response.json()) as { detail: string }).detail).toContain('`scope`')
    }
  })

  it('leaves the page and its stream out of the statistics', async () => {
    await fetch(`${server.url}/performance`)
    const { events, leave } = await follow(`${server.url}/performance/stream`)
    await expect.poll(() => events.length).toBeGreaterThan(0)
    leave()
    await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)
    expect(monitor.snapshot().requests.total).toBe(0)
    expect(monitor.snapshot().endpoints).toEqual([])
  })

  it('follows the fleet', async () => {
    const page = await (await fetch(`${server.url}/performance?scope=fleet`)).text()
    expect(page).toContain('aria-current="page">Fleet')
    const { events } = await follow(`${server.url}/performance/stream?scope=fleet`)
    await expect.poll(() => documentOf(events[0])?.scope).toBe('fleet')
  })
})

describe.each(['Express', 'Fastify', 'Hono'])('a server on %s', (name) => {
  it('compresses the page, but not the stream, and is not held open by it when it closes', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    onTestFinished(() => monitor.close())
    const { url, close } = await startPlain(name, monitor)
    const skip = skippableTime()
    const page = await fetch(`${url}/performance`, { headers: { 'accept-encoding': 'gzip' } })
    expect(page.headers.get('content-encoding')).toBe('gzip')
    expect(await page.text()).toContain('<h1>Performance</h1>')
    const { response, events } = await follow(`${url}/performance/stream`)
    await expect.poll(() => events.length).toBeGreaterThan(0)
    expect(response.headers['content-encoding']).toBeUndefined()
    const ended = once(response, 'end')
    const closed = close()
    await skip(1_000)
    await Promise.all([ended, closed])
    expect(events.length).toBeLessThan(4)
  })
})

/** A server as in production: it compresses, and waits for its connections when it closes. */
async function startPlain(
  name: string,
  monitor: PerformanceMonitor,
): Promise<{ readonly url: string; close(): Promise<unknown> }> {
  if (name === 'Fastify') {
    const app = fastify()
    await app.register(onFastify.compressResponses, {})
    await app.register(onFastify.performanceRoutes, { monitor })
    return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
  }
  const routes =
    name === 'Express' ? express().use(onExpress.compressResponses(), onExpress.performanceRoutes(monitor)) : undefined
  const { fetch } = new Hono().use(onHono.compressResponses(), onHono.performanceRoutes(monitor))
  const server = createServer(routes ?? getRequestListener(fetch)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, close: () => once(server.close(), 'close') }
}

it('keeps its policy where middleware of Hono sets another one after the answer', async () => {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  const app = new Hono()
    .use(secureHeaders({ contentSecurityPolicy: { defaultSrc: ["'self'"], scriptSrc: ["'self'"] } }))
    .use(onHono.performanceRoutes(monitor))
    .get('/other', (c) => c.text('other'))
  const server = createServer(getRequestListener(app.fetch)).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const page = await fetch(`${url}/performance`)
  const nonce = /<script nonce="(.*?)"/.exec(await page.text())?.[1]
  expect(page.headers.get('content-security-policy')).toContain(`script-src 'nonce-${nonce}'`)
  expect(page.headers.get('x-frame-options')).toBe('SAMEORIGIN')
  const other = await fetch(`${url}/other`)
  expect(other.headers.get('content-security-policy')).toContain("script-src 'self'")
})

describe('who may see the live page', () => {
  const startWith = async (routes: Parameters<(typeof frameworks)['Express 5']>[1]) => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const server = await (frameworks['Express 5'] as (typeof frameworks)['Express 5'])(monitor, routes)
    onTestFinished(async () => {
      await server.close()
      await monitor.close()
    })
    return async (path: string, authorization?: string) => {
      const response = await fetch(server.url + path, authorization ? { headers: { authorization } } : {})
      await response.body?.cancel()
      return response
    }
  }

  it('is who sends the token, or types it into the login of the browser', async () => {
    const ask = await startWith({ authorize: { bearer: 'secret:1' } })
    const login = (password: string) => `Basic ${Buffer.from(`anybody:${password}`).toString('base64')}`
    for (const path of ['/performance', '/performance/stream', '/performance/stats']) {
      expect((await ask(path)).status).toBe(401)
      expect((await ask(path, 'Bearer wrong')).status).toBe(401)
      expect((await ask(path, login('wrong'))).status).toBe(401)
      expect((await ask(path, 'Basic')).status).toBe(401)
      expect((await ask(path, 'Bearer secret:1')).status).toBe(200)
      expect((await ask(path, login('secret:1'))).status).toBe(200)
    }
    expect((await ask('/performance')).headers.get('www-authenticate')).toMatch(/^Basic realm=/)
    expect((await ask('/performance/stats')).headers.get('www-authenticate')).toBe('Bearer')
  })

  it('is nobody where it is switched off', async () => {
    const ask = await startWith({ dashboard: false })
    expect((await ask('/performance')).status).toBe(404)
    expect((await ask('/performance/stream')).status).toBe(404)
    expect((await ask('/performance/stats')).status).toBe(200)
  })

  it('finds it where the path says', async () => {
    const ask = await startWith({ path: '/internal/perf' })
    expect((await ask('/internal/perf')).status).toBe(200)
    expect((await ask('/internal/perf/stream')).status).toBe(200)
    expect((await ask('/performance')).status).toBe(404)
  })
})
