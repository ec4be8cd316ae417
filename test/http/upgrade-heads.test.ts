import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { PerformanceMonitor } from 'posthaste'
import { monitorUpgrades } from 'posthaste/express'
import { expect, it, onTestFinished } from 'vitest'
import { listen } from '../support/listen.ts'

const accepted = 'HTTP/1.1 101 Switching Protocols\r\n\r\n'
const refused = 'HTTP/1.1 401 Unauthorized\r\n\r\n'

it.each<[form: string, write: (head: string) => string | Uint8Array]>([
  ['a text', (head) => head],
  ['a Buffer', (head) => Buffer.from(head)],
  ['a Uint8Array', (head) => new TextEncoder().encode(head)],
])('`monitorUpgrades` reads the status of a head that is written as %s', async (_form, write) => {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  const server = createServer()
  monitorUpgrades(monitor, server, '/chat')
  server.on('upgrade', (request, socket) => socket.end(write(request.url === '/' ? accepted : refused)))
  const port = await listen(server)
  for (const path of ['/', '/refused']) {
    const client = connect(port)
    client.end(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
    await once(client.resume(), 'close')
  }

  await expect.poll(() => monitor.snapshot().endpoints[0]?.count).toBe(1)
  expect(monitor.snapshot().endpoints[0]).toMatchObject({ upgrades: 1, aborted: 0, count: 1, status: { 401: 1 } })
})
