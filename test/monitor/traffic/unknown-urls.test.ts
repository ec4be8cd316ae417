import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import express from 'express'
import { PerformanceMonitor } from 'posthaste'
import { monitorRequests } from 'posthaste/express'
import { expect, it, onTestFinished } from 'vitest'
import { collectGarbage } from '../../support/collect-garbage.ts'
import { listen } from '../../support/listen.ts'

it('20,000 unknown URLs are one endpoint, and take no more memory than one', async () => {
  const monitor = new PerformanceMonitor()
  onTestFinished(() => monitor.close())
  const app = express()
    .use(monitorRequests(monitor))
    .use((_request, response) => void response.status(404).end())
  const port = await listen(createServer(app))
  await scan(port, 'warm', 1_000)
  const before = heap()
  await scan(port, 'wp', 20_000)
  const grown = heap() - before
  const { endpoints, requests } = monitor.snapshot()
  expect(endpoints.map(({ method, route, total }) => `${method} ${route} ${total}`)).toEqual(['GET (unmatched) 21000'])
  expect(requests.status).toEqual({ '4xx': 21_000 })
  expect(grown).toBeLessThan(2_000_000)
}, 120_000)

/** Asks for so many URLs, none of them twice, in a row over one connection. */
async function scan(port: number, name: string, count: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  for (let asked = 0; asked < count; asked += 100) {
    const paths = Array.from({ length: 100 }, (_, number) => `/${name}-${asked + number}.php?q=${number}`)
    socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`).join(''))
    let answers = ''
    while (answers.split('HTTP/1.1 404').length <= 100) answers += (await once(socket, 'data'))[0]
  }
  socket.destroy()
}

function heap(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}
