import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import autocannon, { type Result } from 'autocannon'
import { build } from 'hdr-histogram-js'
import { openCities } from '../examples/cities/database.ts'
import { median, shuffle } from './harness.ts'

const ways = ['by hand', 'posthaste, nothing cached', 'posthaste'] as const
const connections = 10
const seconds = Number(process.env.BENCH_SECONDS ?? 4)
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)

/** Pages of a hundred cities of all countries and of five, to a depth of 5,000 rows, in an order that jumps. */
const paths = Array.from({ length: 300 }, (_, at) => {
  const country = ['', '&country=US', '&country=DE', '&country=IN', '&country=CN', '&country=ES'][at % 6] ?? ''
  return `/cities?page=${1 + ((at * 17) % 50)}&per_page=100${country}`
})

interface Server {
  readonly child: ChildProcess
  readonly url: string
}

interface Round {
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly rate: number
  readonly cpu: number
  readonly bytes: number
}

/**
 * The large list of the cities with the largest one of each one's region: written as it is written first (OFFSET, a count a page, a
 * query a row, uncached, uncompressed) and with this library. The client accepts compressed answers, as browsers do.
 */
export default async function beforeAfter(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-bench-'))
  openCities(folder).close()
  const servers = new Map<string, Server>()
  for (const way of ways) servers.set(way, await start(way, folder))
  try {
    await expectSameAnswers([...servers.values()])
    const results = new Map<string, Round[]>(ways.map((way) => [way, []]))
    for (let round = -1; round < rounds; round++) {
      for (const way of shuffle(ways)) {
        const result = await load(servers.get(way) as Server)
        if (round >= 0) results.get(way)?.push(result)
      }
    }
    return table(results)
  } finally {
    for (const { child } of servers.values()) child.kill()
    rmSync(folder, { recursive: true })
  }
}

async function start(way: string, folder: string): Promise<Server> {
  const child = fork(new URL('./support/cities-list-server.ts', import.meta.url), [way, folder])
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return { child, url: `http://127.0.0.1:${port}` }
}

async function expectSameAnswers(servers: readonly Server[]): Promise<void> {
  for (const path of paths.slice(0, 30)) {
    const answers = await Promise.all(
      servers.map(async ({ url }) => {
        const { items } = (await (await fetch(url + path)).json()) as { items: unknown[] }
        return JSON.stringify(items)
      }),
    )
    if (new Set(answers).size > 1) throw new Error(`The servers do not answer the same to ${path}`)
  }
}

async function load({ child, url }: Server): Promise<Round> {
  const before = await cpuOf(child)
  const times = build({ numberOfSignificantValueDigits: 3 })
  const { requests, throughput, non2xx, errors } = await new Promise<Result>((resolve, reject) => {
    const headers = { 'accept-encoding': 'gzip, br' }
    const run = autocannon(
      { url, connections, duration: seconds, headers, requests: paths.map((path) => ({ path })) },
      (error, result) => (error === null || error === undefined ? resolve(result) : reject(error)),
    )
    // Its own histogram has whole milliseconds.
    run.on('response', (_client, _status, _bytes, ms) => times.recordValue(Math.round(ms * 1_000)))
  })
  if (non2xx + errors > 0) throw new Error(`${non2xx + errors} requests failed`)
  return {
    p50: times.getValueAtPercentile(50) / 1_000,
    p95: times.getValueAtPercentile(95) / 1_000,
    p99: times.getValueAtPercentile(99) / 1_000,
    rate: requests.average,
    cpu: ((await cpuOf(child)) - before) / requests.total,
    bytes: throughput.total / requests.total,
  }
}

async function cpuOf(child: ChildProcess): Promise<number> {
  child.send('cpu')
  const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
  return user + system
}

function table(results: ReadonlyMap<string, readonly Round[]>): string {
  const of = (way: string, key: keyof Round) => median((results.get(way) ?? []).map((round) => round[key]))
  const rows = ways.map((way) => {
    const times = (['p50', 'p95', 'p99'] as const).map((key) => of(way, key).toPrecision(3))
    const factor = of(way, 'rate') / of('by hand', 'rate')
    return `| ${way} | ${times.join(' | ')} | ${of(way, 'rate').toFixed(0)} | ${factor.toFixed(1)} | ${of(way, 'cpu').toFixed(0)} | ${(of(way, 'bytes') / 1_000).toFixed(1)} |`
  })
  return [
    '| | P50, ms | P95, ms | P99, ms | requests/s | times by hand | server CPU, us | kB an answer |',
    '|---|---:|---:|---:|---:|---:|---:|---:|',
    ...rows,
    '',
    `${connections} connections, ${rounds} rounds of ${seconds} s in turns, medians; ${paths.length} different pages of 100 rows.`,
  ].join('\n')
}
