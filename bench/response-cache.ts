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

/** What a hit on Express is held against, in order: the first is the floor, the second the measure of the ratios. */
const stored = {
  Node: 'Node, the same bytes from memory',
  Express: 'Express, the same bytes from memory',
  cached: 'Express, `cacheResponses`',
  'Express, mounted': 'Express with monitor and compression, the same bytes from memory',
  'cached, mounted': 'Express with monitor and compression, `cacheResponses`',
}
const requests = Number(process.env.BENCH_REQUESTS ?? 3_000)
const starts = Number(process.env.BENCH_STARTS ?? 3)

/**
 * What does a cached response save, and what does it cost?
 */
export default async function responseCache(): Promise<string> {
  return [await savings(), await hits()].join('\n\n')
}

/**
 * Requests a second to `GET /countries` of the cities example, each way compressed with brotli: a
 * query over all cities for each, the rows from the cache, and the response from the cache.
 */
async function savings(): Promise<string> {
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

/** Processor time of a hit, against the same bytes from a variable. */
async function hits(): Promise<string> {
  const runs: number[][] = []
  for (let start = 0; start < starts; start++) runs.push(await costsOfHits())
  const costs = Object.keys(stored).map((_, index) => median(runs.map((run) => run[index] ?? Number.NaN)))
  const lines = Object.values(stored).map((name, index) => {
    const us = costs[index] ?? Number.NaN
    return `| ${name} | ${us.toFixed(1)} | ${(us / (costs[1] ?? Number.NaN)).toFixed(2)} |`
  })
  return [
    '| 10 KB of JSON in brotli | us a request | ratio |',
    '|---|---:|---:|',
    ...lines,
    '',
    `Processor time of the server: the lowest of ${rounds} rounds of ${requests} requests over 16 connections in turns, median of ${starts} starts.`,
  ].join('\n')
}

/** In servers started for it, because two runs of one program are compiled differently. */
async function costsOfHits(): Promise<number[]> {
  const request = { path: '/rows', headers }
  const servers = await Promise.all(Object.keys(stored).map((way) => serve('./stored-server.ts', [way])))
  const costs = servers.map(() => Number.POSITIVE_INFINITY)
  // The compiler needs some ten thousand requests before the costs stay as they are.
  for (let round = -4; round < rounds; round++) {
    for (const [index, server] of shuffle([...servers.entries()])) {
      const cost = await server.costOf(request, requests)
      if (round >= 0) costs[index] = Math.min(cost, costs[index] as number)
    }
  }
  for (const [index, server] of servers.entries()) {
    const answer = String(await server.answerTo(request))
    if (!/^cache-status: posthaste; hit/im.test(answer) || !/^content-encoding: br/im.test(answer))
      throw new Error(`No hit: ${Object.keys(stored)[index]}\n${answer}`)
    server.stop()
  }
  return costs
}

async function expectSameAnswers(servers: Readonly<Record<Way['server'], Served>>): Promise<void> {
  for (const { server, request, name } of ways) {
    const answer = String(await servers[server].answerTo(request))
    if (!/^content-encoding: br/im.test(answer)) throw new Error(`Not compressed when ${name}`)
  }
}
