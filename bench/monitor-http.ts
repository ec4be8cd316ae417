import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { shuffle } from './harness.ts'

const frameworks = {
  Fastify: ['fastify-metrics', 'fastify-metrics without summary'],
  Hono: ['@hono/prometheus', '@hono/otel'],
  Express: ['express-prom-bundle', 'swagger-stats'],
} as const
const sockets = 16
const requestsEach = Number(process.env.BENCH_REQUESTS ?? 200)
const requests = sockets * requestsEach
const rounds = Number(process.env.BENCH_ROUNDS ?? 10)
const starts = Number(process.env.BENCH_STARTS ?? 5)

interface Variant {
  readonly child: ChildProcess
  readonly port: number
  /** Processor time of the server a request, in microseconds, round by round. */
  readonly costs: number[]
}

/**
 * What a monitor adds to a request: processor time of a hello-world server in a process of its own, under the monitor, less that
 * of the same server without, over keep-alive connections. All servers of a framework take turns, in another order each round,
 * and are started anew several times, because two runs of one program are compiled differently. The bare server takes part twice:
 * what lies between the two is the noise.
 */
export default async function monitorHttp(): Promise<string> {
  const rows: string[] = []
  for (const [framework, peers] of Object.entries(frameworks)) {
    const names = ['posthaste', ...peers]
    const runs: number[][] = []
    for (let start = 0; start < starts; start++) runs.push(await costsOf(framework, ['bare', 'bare', ...names]))
    const [bare = 0, again = 0, ...costs] = runs[0]?.map((_, place) => median(runs.map((run) => run[place] ?? 0))) ?? []
    rows.push(`| ${framework}, bare | ${bare.toFixed(1)} | ${Math.abs(again - bare).toFixed(1)} | |`)
    const ours = (costs[0] ?? 0) - bare
    for (const [place, name] of names.entries()) {
      const added = (costs[place] ?? 0) - bare
      const ratio = place === 0 ? '' : (ours / added).toFixed(2)
      rows.push(`| ${framework}, ${name} | ${(bare + added).toFixed(1)} | ${added.toFixed(1)} | ${ratio} |`)
    }
  }
  return [
    '| server | us a request | added | posthaste’s share of it |',
    '|---|---:|---:|---:|',
    ...rows,
    '',
    `Processor time of the server: the lowest tenth of ${rounds} rounds of ${requests} requests, median of ${starts} starts.`,
  ].join('\n')
}

/** What a request costs each of them, in servers started for it. */
async function costsOf(framework: string, names: readonly string[]): Promise<number[]> {
  const variants = await Promise.all(names.map((name) => start(`${framework}, ${name}`)))
  for (let round = -3; round < rounds; round++) {
    for (const variant of shuffle(variants)) {
      const cost = await costOf(variant)
      if (round >= 0) variant.costs.push(cost)
    }
  }
  for (const [place, { child, port }] of variants.entries()) {
    if (names[place] !== 'bare') await expectRoute(names[place] ?? '', port)
    child.kill()
  }
  return variants.map(({ costs }) => tenth(costs))
}

async function start(name: string): Promise<Variant> {
  const child = fork(new URL('./support/monitored-server.ts', import.meta.url), [name])
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return { child, port, costs: [] }
}

/** A monitor that does not know the route has measured something else. */
async function expectRoute(name: string, port: number): Promise<void> {
  const path = name === 'swagger-stats' ? '/stats/metrics' : '/metrics'
  const text = await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
  if (!/"\/users\/(:id|#val)"/.test(text))
    throw new Error(`${name} has not recorded the route:\n${text.slice(0, 2_000)}`)
}

async function costOf({ child, port }: Variant): Promise<number> {
  const before = await cpuOf(child)
  await Promise.all(Array.from({ length: sockets }, () => load(port, requestsEach)))
  return ((await cpuOf(child)) - before) / requests
}

async function cpuOf(child: ChildProcess): Promise<number> {
  child.send('cpu')
  const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
  return user + system
}

/** Sends requests over one connection, each after the answer to the one before. */
function load(port: number, count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, '127.0.0.1')
    let left = count
    const send = () => socket.write(`GET /users/${left} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    socket.once('connect', send).on('error', reject)
    socket.on('data', (data) => {
      // Every answer ends in this body, and none is cut in the middle of it: they are far smaller than a packet.
      if (!data.includes('{"hello":"world"}')) return
      if (--left > 0) send()
      else socket.end(resolve)
    })
  })
}

function tenth(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 10)] ?? Number.NaN
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
