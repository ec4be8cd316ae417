/**
 * What does a compressed answer cost, against the middleware that Express users know, in bytes and CPU? What does ours cost
 * where there is nothing to compress, how long does a large body block the event loop, and what does a cached route save?
 *
 * CPU time of client and server in one process over keep-alive connections, so the same constant is in every candidate.
 */
import { once } from 'node:events'
import { Agent, createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import compression from 'compression'
import express from 'express'
import { cacheResponses, compressResponses } from '../src/express.ts'
import { type CompressibleHead, createCache, createCompressor } from '../src/index.ts'
import { type Candidate, compare, table } from './harness.ts'

const rounds = Number(process.env.ROUNDS ?? 25)
const agent = new Agent({ keepAlive: true, maxSockets: 1 })

function rowsOf(bytes: number): string {
  const rows: object[] = []
  for (let length = 2, id = 1; length < bytes; id++) {
    const key = Math.imul(id, 0x9e3779b1) >>> 0
    const row = {
      id,
      name: `User ${id}`,
      email: `u${key.toString(36)}@example.com`,
      at: new Date(1.6e12 + key).toISOString(),
    }
    length += JSON.stringify(row).length + 1
    rows.push(row)
  }
  return JSON.stringify(rows)
}

interface Target {
  ask(): Promise<Buffer>
  close(): void
}

type Middleware = express.RequestHandler | undefined

/** An application with one route that sends the text, behind the middleware. */
async function serve(body: string, middleware: Middleware, acceptEncoding: string): Promise<Target> {
  const app = express().disable('etag')
  if (middleware !== undefined) app.use(middleware)
  app.get('/', (_request, response) => {
    response.type('json').send(body)
  })
  return listen(app, acceptEncoding)
}

async function listen(app: express.Express, acceptEncoding: string): Promise<Target> {
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const headers = { 'accept-encoding': acceptEncoding }
  return {
    ask: () =>
      new Promise((resolve, reject) => {
        const request = send({ host: '127.0.0.1', port, agent, headers }, (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('end', () => resolve(Buffer.concat(chunks)))
        })
        request.on('error', reject).end()
      }),
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** The middlewares over the same body, the first one being what the others are compared with. */
async function race(title: string, body: string, accept: string, ways: Record<string, Middleware>): Promise<string> {
  const targets: Target[] = []
  const candidates: Candidate[] = []
  const sizes: string[] = []
  for (const [name, middleware] of Object.entries(ways)) {
    const target = await serve(body, middleware, accept)
    targets.push(target)
    sizes.push(`${name} ${(await target.ask()).length} B`)
    candidates.push({ name, run: target.ask })
  }
  const results = await compare(candidates, { iterations: 40, rounds, measure: 'cpu' })
  for (const target of targets) target.close()
  return `### ${title}\n\nSent: ${sizes.join(', ')}.\n\n${table(results)}`
}

const ours = () => compressResponses() as unknown as express.RequestHandler

/** The longest turn of the event loop while bodies of 1 MB are compressed one after another, and while nothing is done. */
async function blocking(): Promise<string> {
  const body = Buffer.from(rowsOf(1024 * 1024))
  const compressor = createCompressor()
  const rows: string[] = []
  for (const coding of ['nothing', 'gzip', 'br', 'zstd']) {
    const head: CompressibleHead = {
      acceptEncoding: coding,
      header: (name) => (name === 'content-type' ? 'text/html' : null),
    }
    const turns: number[] = []
    const ends = performance.now() + 2_000
    let isDone = false
    const work = (async () => {
      while (performance.now() < ends) {
        await (coding === 'nothing' ? new Promise((resolve) => setTimeout(resolve, 5)) : compressor.body(body, head))
      }
      isDone = true
    })()
    for (let last = performance.now(); !isDone; ) {
      await new Promise(setImmediate)
      const now = performance.now()
      turns.push(now - last)
      last = now
    }
    await work
    turns.sort((a, b) => a - b)
    const at = (share: number) => (turns[Math.floor((turns.length - 1) * share)] as number).toFixed(2)
    rows.push(`| ${coding} | ${at(0.99)} | ${at(0.999)} | ${at(1)} |`)
  }
  return `### Turns of the event loop while 1 MB bodies are compressed, in ms\n\n| | p99 | p99.9 | longest |\n|---|---:|---:|---:|\n${rows.join('\n')}`
}

/** The same route with and without the cache, both compressed. */
async function cached(): Promise<string> {
  const rows = JSON.parse(rowsOf(16 * 1024)) as object[]
  const cache = createCache()
  const app = (cacheOf: Middleware) => {
    const application = express().use(ours())
    const handlers = cacheOf === undefined ? [] : [cacheOf]
    return application.get('/', ...handlers, (_request, response) => {
      response.json(rows)
    })
  }
  const plain = await listen(app(undefined), 'br')
  const hot = await listen(app(cacheResponses(cache) as unknown as express.RequestHandler), 'br')
  await hot.ask()
  const candidates = [
    { name: 'made for each request', run: plain.ask },
    { name: 'from the cache', run: hot.ask },
  ]
  const results = await compare(candidates, { iterations: 40, rounds, measure: 'cpu' })
  plain.close()
  hot.close()
  await cache.close()
  return `### A route of 16 KB without any query, brotli\n\n${table(results)}`
}

export default async function run(): Promise<string> {
  const sections: string[] = []
  for (const [coding, accept] of [
    ['gzip', 'gzip'],
    ['brotli', 'br'],
  ] as const) {
    for (const kilobytes of [1.5, 8, 16]) {
      const body = rowsOf(kilobytes * 1024)
      const ways = { compression: compression(), posthaste: ours(), 'no compression': undefined }
      sections.push(await race(`${coding}, ${kilobytes} KB`, body, accept, ways))
    }
  }
  const untouched = { 'no middleware': undefined, posthaste: ours(), compression: compression() }
  sections.push(await race('A client that accepts no coding, 8 KB', rowsOf(8 * 1024), 'identity', untouched))
  sections.push(await cached(), await blocking())
  agent.destroy()
  return sections.join('\n\n')
}
