import { Histogram as SuccessorHistogram } from '@prometheus-io/client'
import { build } from 'hdr-histogram-js'
import { Histogram } from 'prom-client'
import { PerformanceMonitor } from '../src/index.ts'
import { type Candidate, compare, table } from './harness.ts'

const routes = Array.from({ length: 20 }, (_, number) => `/api/${number}/:id`)
const statuses = [200, 201, 404, 500]

/** What does recording one request cost, against the histograms of prom-client and of its successor, and the recorder of hdr-histogram-js? */
export default async function run(): Promise<string> {
  const options = { sampleInterval: false, alerts: false } as const
  const monitor = new PerformanceMonitor(options)
  const clock = Float64Array.of(1.7e12 + 0.25)
  const still = new PerformanceMonitor({ ...options, clock: () => clock[0] ?? 0 })
  const settingsOfPeers = { name: 'requests', help: 'requests', labelNames: ['method', 'route', 'status'] } as const
  const prometheus = new Histogram(settingsOfPeers)
  const successor = new SuccessorHistogram(settingsOfPeers)
  const hdr = build({ bitBucketSize: 32, highestTrackableValue: 0xffff_ffff, numberOfSignificantValueDigits: 2 })
  const stopTimer = prometheus.startTimer()
  const stopSuccessor = successor.startTimer()

  const bare = [
    thousand('record, its clock standing still', (route, status) => still.record('GET', route, status, 1.7e12 - 20)),
    thousand('hdr-histogram-js, recordValue alone', (_, status) => hdr.recordValue(20_000 + status)),
    thousand('prom-client, observe', (route, status) => prometheus.observe({ method: 'GET', route, status }, 0.02)),
    thousand('@prometheus-io/client, observe', (route, status) =>
      successor.observe({ method: 'GET', route, status }, 0.02),
    ),
  ]
  const timed = [
    thousand('record', (route, status, startedAt) => monitor.record('GET', route, status, startedAt)),
    thousand('performance.now alone', () => void performance.now()),
    thousand('prom-client, end of startTimer', (route, status) => stopTimer({ method: 'GET', route, status })),
    thousand('@prometheus-io/client, end of startTimer', (route, status) =>
      stopSuccessor({ method: 'GET', route, status }),
    ),
  ]
  const settings = { iterations: 60, rounds: 40, measure: 'cpu' } as const
  return [
    'A thousand requests of 20 routes and 4 statuses. `record` reads the clock, `observe` does not; like with like, first',
    'without a clock:',
    '',
    table(await compare(bare, settings)),
    '',
    'and with one:',
    '',
    table(await compare(timed, settings)),
  ].join('\n')
}

function thousand(name: string, record: (route: string, status: number, startedAt: number) => unknown): Candidate {
  return {
    name,
    run() {
      const startedAt = performance.timeOrigin + performance.now()
      for (let number = 0; number < 1_000; number++)
        record(routes[number % 20] ?? '', statuses[number % 4] ?? 0, startedAt)
    },
  }
}
