import { setImmediate as turn } from 'node:timers/promises'
import { wireText } from '../src/http/wire.ts'
import { PerformanceMonitor } from '../src/index.ts'

const endpoints = 500
const slices = 60
const perSlice = 20

/** What it costs to read a monitor of 500 busy endpoints with a full window: time, the longest piece of it, memory, accuracy. */
export default async function run(): Promise<string> {
  let now = 1.7e12
  const monitor = new PerformanceMonitor({ sampleInterval: false, clock: () => now })
  const seen: number[] = []
  const fill = () => {
    now += 5_000
    for (let endpoint = 0; endpoint < endpoints; endpoint++) {
      for (let count = 0; count < perSlice; count++) {
        const ms = Math.exp(1 + Math.random() * 4)
        if (endpoint === 0) seen.push(ms)
        monitor.record('GET', `/r${endpoint}/:id`, count % 5 === 4 ? 404 : 200, now - ms)
      }
    }
  }
  for (let slice = 0; slice < slices; slice++) fill()

  const rows: string[] = []
  const measure = async (name: string, work: () => unknown) => {
    const runs: Array<{ readonly total: number; readonly longest: number }> = []
    for (let round = 0; round < 12; round++) {
      fill()
      runs.push(await cpuOf(work))
    }
    const [total, longest] = (['total', 'longest'] as const).map((key) => median(runs.slice(2).map((run) => run[key])))
    rows.push(`| ${name} | ${total?.toFixed(1)} | ${longest?.toFixed(1)} |`)
  }
  await measure('snapshot()', () => monitor.snapshot())
  await measure('GET /performance/stats', async () => wireText(await monitor.snapshotInTurns(), 'snake'))
  await measure('GET /performance/stats?limit=500', async () =>
    wireText(await monitor.snapshotInTurns({ limit: endpoints }), 'snake'),
  )
  await measure('GET /performance/metrics', () => Array.fromAsync(monitor.prometheus()))
  await measure('sample()', () => monitor.sample())

  const exact = seen.slice(-slices * perSlice).sort((a, b) => a - b)
  const { latencyMs } = monitor.endpoint('GET', '/r0/:id') as NonNullable<ReturnType<typeof monitor.endpoint>>
  const p99 = exact[Math.ceil(exact.length * 0.99) - 1] ?? Number.NaN
  const { memoryBytes } = monitor.snapshot().self
  return [
    `${endpoints} endpoints, each with requests in all ${slices} slices of its window, read after a slice has passed.`,
    '',
    '| | processor time, ms | longest piece, ms |',
    '|---|---:|---:|',
    ...rows,
    '',
    `Memory: ${(memoryBytes / endpoints / 1_024).toFixed(0)} KB an endpoint. P99 of one: ${latencyMs.p99?.toFixed(2)} ms, exactly ${p99.toFixed(2)} ms.`,
  ].join('\n')
}

/** Processor time of the work, and of its longest piece between two turns of the event loop. */
async function cpuOf(work: () => unknown): Promise<{ readonly total: number; readonly longest: number }> {
  await turn()
  let at = process.cpuUsage()
  let isRunning = true
  let total = 0
  let longest = 0
  const note = () => {
    const { user, system } = process.cpuUsage(at)
    at = process.cpuUsage()
    total += (user + system) / 1_000
    longest = Math.max(longest, (user + system) / 1_000)
    if (isRunning) setImmediate(note)
  }
  setImmediate(note)
  await work()
  isRunning = false
  note()
  return { total, longest }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
