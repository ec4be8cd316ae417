import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCities } from '../examples/cities/database.ts'
import { median, shuffle } from './harness.ts'
import { type RawRequest, type Served, serve } from './support/served.ts'

const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const seconds = Number(process.env.BENCH_SECONDS ?? 0.5)

const headers = { 'accept-encoding': 'gzip, br' }
/** A request with a cookie bypasses the cache of responses. */
const personal = { ...headers, cookie: 'session=1' }

interface Way {
  readonly name: string
  readonly server: 'cached' | 'uncached'
  readonly request: RawRequest
}

const ways: readonly Way[] = [
  { name: 'queried, made and compressed', server: 'uncached', request: { path: '/countries', headers: personal } },
  { name: 'rows cached, made and compressed', server: 'cached', request: { path: '/countries', headers: personal } },
  { name: 'response cached', server: 'cached', request: { path: '/countries', headers } },
]

/**
 * What does a cached response save? Requests a second to `GET /countries` of the cities example, each way compressed with brotli: a
 * query over all cities for each, the rows from the cache, and the response from the cache.
 */
export default async function responseCache(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-bench-'))
  openCities(folder).close()
  const lines: string[] = []
  for (const framework of ['Express', 'Fastify', 'Hono']) {
    const servers = {
      cached: await serve('./countries-server.ts', [framework, 'cached', folder]),
      uncached: await serve('./countries-server.ts', [framework, 'uncached', folder]),
    }
    await expectSameAnswers(servers)
    const rates = new Map<string, number[]>(ways.map(({ name }) => [name, []]))
    for (let round = -1; round < rounds; round++) {
      for (const { name, server, request } of shuffle(ways)) {
        const rate = await servers[server].rateOf(request, seconds)
        if (round >= 0) rates.get(name)?.push(rate)
      }
    }
    const [uncached = 0, rows = 0, hot = 0] = ways.map(({ name }) => median(rates.get(name) ?? []))
    const cells = [uncached, rows, hot, hot / uncached, hot / rows].map((value) => value.toFixed(value < 10 ? 1 : 0))
    lines.push(`| ${framework} | ${cells.join(' | ')} |`)
    for (const { stop } of Object.values(servers)) stop()
  }
  rmSync(folder, { recursive: true })
  return [
    `| framework | ${ways.map(({ name }) => name).join(' | ')} | times the first | times the second |`,
    '|---|---:|---:|---:|---:|---:|',
    ...lines,
    '',
    `Requests a second over 16 connections, medians of ${rounds} rounds of ${seconds} s in turns.`,
  ].join('\n')
}

async function expectSameAnswers(servers: Readonly<Record<Way['server'], Served>>): Promise<void> {
  for (const { server, request, name } of ways) {
    const answer = String(await servers[server].answerTo(request))
    if (!/^content-encoding: br/im.test(answer)) throw new Error(`Not compressed when ${name}`)
  }
}
