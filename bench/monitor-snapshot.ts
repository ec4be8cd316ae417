import { PerformanceObserver } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { serializeStats } from '../src/http/performance/serialize-stats.ts'
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
    const runs: Awaited<ReturnType<typeof cpuOf>>[] = []
    for (let round = 0; round < 12; round++) {
      fill()
      runs.push(await cpuOf(work))
    }
    const columns = ['total', 'longest', 'longestOwn'] as const
    const medians = columns.map((column) => median(runs.slice(2).map((run) => run[column])).toFixed(1))
    rows.push(`| ${name} | ${medians.join(' | ')} |`)
  }
  await measure('snapshot()', () => monitor.snapshot())
  await measure('GET /performance/stats', async () => serializeStats(await monitor.snapshotInTurns(), 'snake'))
  await measure('GET /performance/stats?limit=500', async () =>
    serializeStats(await monitor.snapshotInTurns({ limit: endpoints }), 'snake'),
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
    '| | processor time, ms | longest piece, ms | without garbage collection, ms |',
    '|---|---:|---:|---:|',
    ...rows,
    '',
    `Memory: ${(memoryBytes / endpoints / 1_024).toFixed(0)} KB an endpoint. P99 of one: ${latencyMs.p99?.toFixed(2)} ms, exactly ${p99.toFixed(2)} ms.`,
  ].join('\n')
}

/** Processor time of the work, and its longest piece between two turns of the event loop, with and without collections. */
async function cpuOf(work: () => unknown): Promise<{ total: number; longest: number; longestOwn: number }> {
  await turn()
  const collections: { readonly startTime: number; readonly duration: number }[] = []
  const observer = new PerformanceObserver((list) => void collections.push(...list.getEntries()))
  observer.observe({ entryTypes: ['gc'] })
  const turns = [performance.now()]
  const before = process.cpuUsage()
  let isRunning = true
  const note = () => {
    turns.push(performance.now())
    if (isRunning) setImmediate(note)
  }
  setImmediate(note)
  await work()
  isRunning = false
  note()
  const { user, system } = process.cpuUsage(before)
  // What was collected is told a turn later.
  await turn()
  await turn()
  observer.disconnect()
  const pieces = turns.slice(1).map((end, index) => {
    const start = turns[index] as number
    const within = collections.filter(({ startTime }) => startTime >= start && startTime < end)
    return { all: end - start, own: end - start - within.reduce((sum, { duration }) => sum + duration, 0) }
  })
  return {
    total: (user + system) / 1_000,
    longest: Math.max(...pieces.map(({ all }) => all)),
    longestOwn: Math.max(...pieces.map(({ own }) => own)),
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
