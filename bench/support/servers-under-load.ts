import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import autocannon, { type Result } from 'autocannon'
import { build } from 'hdr-histogram-js'
import { median, shuffle } from '../harness.ts'

const connections = 10
const seconds = Number(process.env.BENCH_SECONDS ?? 4)
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)

/** Loads one server for each way in turns, and compares them. They must answer the same. */
export async function compareServers({ script, ways, paths, place }: ServersUnderLoad): Promise<string> {
  const servers = new Map<string, Server>()
  try {
    for (const way of ways) servers.set(way, await start(script, way, place))
    await expectSameAnswers([...servers.values()], paths)
    const results = new Map<string, Round[]>(ways.map((way) => [way, []]))
    for (let round = -1; round < rounds; round++) {
      for (const way of shuffle(ways)) {
        const result = await load(servers.get(way) as Server, paths)
        if (round >= 0) results.get(way)?.push(result)
      }
    }
    return table(results, paths.length)
  } finally {
    for (const { child } of servers.values()) child.kill()
  }
}

export interface ServersUnderLoad {
  /** Started with a way and the place of the data; it sends its port. */
  readonly script: string
  readonly ways: readonly string[]
  readonly paths: readonly string[]
  readonly place: string
}

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

async function start(script: string, way: string, place: string): Promise<Server> {
  const child = fork(new URL(script, import.meta.url), [way, place])
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return { child, url: `http://127.0.0.1:${port}` }
}

async function expectSameAnswers(servers: readonly Server[], paths: readonly string[]): Promise<void> {
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

async function load({ child, url }: Server, paths: readonly string[]): Promise<Round> {
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

function table(results: ReadonlyMap<string, readonly Round[]>, pages: number): string {
  const ways = [...results.keys()]
  const [first = ''] = ways
  const of = (way: string, key: keyof Round) => median((results.get(way) ?? []).map((round) => round[key]))
  const rows = ways.map((way) => {
    const times = (['p50', 'p95', 'p99'] as const).map((key) => of(way, key).toPrecision(3))
    const factor = of(way, 'rate') / of(first, 'rate')
    return `| ${way} | ${times.join(' | ')} | ${of(way, 'rate').toFixed(0)} | ${factor.toFixed(1)} | ${of(way, 'cpu').toFixed(0)} | ${(of(way, 'bytes') / 1_000).toFixed(1)} |`
  })
  return [
    '| | P50, ms | P95, ms | P99, ms | requests/s | times the first | server CPU, us | kB an answer |',
    '|---|---:|---:|---:|---:|---:|---:|---:|',
    ...rows,
    '',
    `${connections} connections, ${rounds} rounds of ${seconds} s in turns, medians; ${pages} different pages of 100 rows.`,
  ].join('\n')
}
