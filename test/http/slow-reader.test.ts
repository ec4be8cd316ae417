import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import express from 'express'
import { compressResponses } from 'posthaste/express'
import { expect, it, onTestFinished } from 'vitest'

/** More than the buffers of both sockets hold. */
const body = randomBytes(16 * 1024 * 1024)

it('sends all of a response that was ended while its client did not read', async () => {
  const app = express()
  app.use(compressResponses())
  app.get('/', (_request, response) => {
    response.type('text/plain')
    response.write(body)
    response.end('end')
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const request = get({ port, host: '127.0.0.1', headers: { 'accept-encoding': 'gzip' } })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  expect(response.headers['content-encoding']).toBe('gzip')
  await sleep(300)
  const sent = gunzipSync(await buffer(response))
  expect(sent.length).toBe(body.length + 3)
  expect(sent.subarray(0, body.length).equals(body)).toBe(true)
})
