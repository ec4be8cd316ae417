import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import websocket from '@fastify/websocket'
import { serve, upgradeWebSocket, type WebSocketServerLike } from '@hono/node-server'
import fastify from 'fastify'
import { Hono } from 'hono'
import { PerformanceMonitor } from 'posthaste'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { expect, it, onTestFinished } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { listen } from '../../support/listen.ts'

function makeMonitor() {
  const warnings: string[] = []
  const monitor = new PerformanceMonitor({ sampleInterval: false, onWarn: ({ code }) => warnings.push(code) })
  onTestFinished(() => monitor.close())
  return { monitor, warnings }
}

/** The open WebSocket, or the response of a server that refuses it. */
async function open(port: number): Promise<WebSocket | IncomingMessage> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/chat`)
  onTestFinished(() => client.terminate())
  const refused = once(client, 'unexpected-response').then(([, response]) => response as IncomingMessage)
  return Promise.race([once(client, 'open').then(() => client), refused])
}

it('a refused upgrade on Fastify ends its connection, and counts once', async () => {
  const { monitor } = makeMonitor()
  const app = fastify()
  await app.register(onFastify.monitorRequests, { monitor })
  await app.register(onFastify.shedLoad, { monitor, concurrency: 1 })
  await app.register(websocket)
  app.get('/chat', { websocket: true }, () => {})
  await app.listen({ port: 0 })
  const { port } = app.server.address() as AddressInfo
  const accepted = (await open(port)) as WebSocket
  const refused = (await open(port)) as IncomingMessage
  refused.resume()
  expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, expect.stringMatching(/^[123]$/)])
  await once(refused, 'close')
  await expect.poll(() => monitor.snapshot().requests).toMatchObject({ inFlight: 1, shed: 1 })
  accepted.close()
  await expect.poll(() => monitor.inFlight).toBe(0)
  await app.close()
})

it('upgrades on Hono are let in, without the warning that nothing else is refused', async () => {
  const { monitor, warnings } = makeMonitor()
  const app = new Hono()
  app.use(onHono.monitorRequests(monitor))
  app.use(onHono.shedLoad(monitor, { concurrency: 1 }))
  app.get(
    '/chat',
    upgradeWebSocket(() => ({})),
  )
  const sockets = new WebSocketServer({ noServer: true })
  const server = serve({ fetch: app.fetch, port: 0, websocket: { server: sockets as unknown as WebSocketServerLike } })
  const port = await listen(server as Parameters<typeof listen>[0])
  for (let count = 0; count < 2; count++) expect(await open(port)).toBeInstanceOf(WebSocket)
  expect(warnings).toEqual([])
})
