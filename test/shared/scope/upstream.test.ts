import { createHash } from 'node:crypto'
import http, { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { describe, expect, it, onTestFinished } from 'vitest'
import { OpenRequestScope } from '../../../src/shared/scope/request-scope.ts'
import { waitNames } from '../../../src/shared/scope/wait-names.ts'
import { enableScopes, runInEnteredScope } from '../../../src/shared/scope/work.ts'

async function listen(server: Server): Promise<string> {
  const sockets = new Set<Duplex>()
  server.on('connection', (socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** How long a request waits for something upstream, that calls the function and then does nothing for a while. */
async function upstreamMs(call: () => Promise<unknown>): Promise<number> {
  enableScopes()
  const scope = new OpenRequestScope(undefined, undefined)
  let before = 0
  await runInEnteredScope({ request: scope }, async () => {
    scope.begin()
    await call()
    before = scope.waits.settle(performance.now()).ms[waitNames.indexOf('upstream')] as number
    await new Promise((resolve) => setTimeout(resolve, 100))
  })
  scope.end()
  return (scope.waits.ms[waitNames.indexOf('upstream')] as number) - before
}

describe('the time after a request upstream', () => {
  it('counts for it no more once the answer was read', async () => {
    const host = await listen(createServer((_request, response) => response.end('ok')))
    expect(await upstreamMs(async () => (await fetch(`http://${host}`)).text())).toBeLessThan(50)
  })

  it('does not count for a WebSocket that stays open', async () => {
    const server = createServer().on('upgrade', ({ headers }, socket) => {
      const text = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
      const accept = createHash('sha1').update(text).digest('base64')
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      )
    })
    const host = await listen(server)
    const open = async () => {
      const socket = new WebSocket(`ws://${host}`)
      await new Promise((resolve) => socket.addEventListener('open', resolve))
    }
    expect(await upstreamMs(open)).toBeLessThan(50)
  })

  // Newer than the oldest Node that the library runs on.
  it.skipIf(http.setGlobalProxyFromEnv === undefined)('does not count for the connection to a proxy', async () => {
    const host = await listen(createServer((_request, response) => response.end('ok')))
    let tunnels = 0
    const proxy = createServer().on('connect', ({ url = '' }, socket) => {
      tunnels++
      const target = connect(Number(url.split(':')[1]), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        target.pipe(socket).pipe(target)
      })
      target.on('error', () => socket.destroy())
      socket.on('error', () => target.destroy())
    })
    const restore = http.setGlobalProxyFromEnv({ http_proxy: `http://${await listen(proxy)}` })
    onTestFinished(restore)
    expect(await upstreamMs(async () => (await fetch(`http://${host}`)).text())).toBeLessThan(50)
    expect(tunnels).toBe(1)
  })
})
