import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { shuffle } from './harness.ts'

const frameworks = {
  Fastify: 'fastify-metrics',
  Hono: '@hono/prometheus',
  Express: 'express-prom-bundle',
} as const
const sockets = 16
const requests = Number(process.env.BENCH_REQUESTS ?? 3_000)
const rounds = Number(process.env.BENCH_ROUNDS ?? 20)

interface Variant {
  readonly name: string
  readonly child: ChildProcess
  readonly port: number
  /** Processor time of the server a request, in microseconds, round by round. */
  readonly costs: number[]
}

/**
 * What a monitor adds to a request: processor time of a hello-world server in a process of its own, under the monitor, less that
 * of the same server without, over keep-alive connections. All servers of a framework take turns, in another order each round.
 */
export default async function monitorHttp(): Promise<string> {
  const rows: string[] = []
  for (const [framework, peer] of Object.entries(frameworks)) {
    const names = ['bare', 'posthaste', peer].map((name) => `${framework}, ${name}`)
    const variants = await Promise.all(names.map(start))
    for (let round = -4; round < rounds; round++) {
      for (const variant of shuffle(variants)) {
        const cost = await costOf(variant)
        if (round >= 0) variant.costs.push(cost)
      }
    }
    const [bare = 0, ours = 0, theirs = 0] = variants.map(({ costs }) => tenth(costs))
    const noise =
      tenth(variants[0]?.costs.slice(rounds / 2) ?? []) - tenth(variants[0]?.costs.slice(0, rounds / 2) ?? [])
    const ratio = (ours - bare) / (theirs - bare)
    rows.push(
      `| ${framework} | ${bare.toFixed(1)} | ${(ours - bare).toFixed(1)} | ${peer} ${(theirs - bare).toFixed(1)} | ${ratio.toFixed(2)} | ${Math.abs(noise).toFixed(1)} |`,
    )
    for (const { child } of variants) child.kill()
  }
  return [
    '| framework | bare, us | posthaste adds | peer adds | ratio | noise, us |',
    '|---|---:|---:|---:|---:|---:|',
    ...rows,
    '',
    `Processor time of the server a request, tenth percentile of ${rounds} rounds of ${requests} requests.`,
  ].join('\n')
}

async function start(name: string): Promise<Variant> {
  const child = fork(new URL('./support/monitored-server.ts', import.meta.url), [name])
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return { name, child, port, costs: [] }
}

async function costOf({ child, port }: Variant): Promise<number> {
  const before = await cpuOf(child)
  await Promise.all(Array.from({ length: sockets }, () => load(port, requests / sockets)))
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
