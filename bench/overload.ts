import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { Phase, PhaseReport, Plan } from './support/overload-client.ts'

const workloads = {
  cpu: { title: 'CPU-bound: 4 ms of the event loop', paths: { '/cpu': 1 } },
  database: { title: 'Database-bound: 8 connections, 40 ms a query', paths: { '/database': 1 } },
  mixed: {
    title: 'Mixed: 70 % light, 20 % CPU, 10 % database',
    paths: { '/light': 0.7, '/cpu': 0.2, '/database': 0.1 },
  },
} as const
type Workload = keyof typeof workloads

const policies = {
  none: 'Express',
  'under-pressure': 'Fastify',
  'toobusy-js': 'Express',
  'overload-protection': 'Express',
  posthaste: 'Express',
} as const
type Policy = keyof typeof policies

/** `OVERLOAD=cpu`, `database`, `mixed`, or several with commas; `holds` for the figures that the documentation promises. */
const asked = (process.env.OVERLOAD ?? 'cpu,database,mixed,holds').split(',')
const seconds = Number(process.env.BENCH_SECONDS ?? 3)
const loads = [0.5, 1, 2, 4, 5]

/**
 * What a server still achieves when more requests come than it can serve: an open-loop client in a process of its own sends them at
 * a rate that depends on nothing, and gives up after a second. Good is an answer with 200 within 300 ms. Loads are multiples of
 * the capacity, which clients that wait for their answers measure before, without any policy. Where the client was late by more than
 * 30 ms, it has measured itself: others used the processors.
 */
export default async function overload(): Promise<string> {
  const parts: string[] = []
  for (const workload of Object.keys(workloads) as Workload[]) {
    if (asked.includes(workload)) parts.push(await compareAt(workload))
  }
  if (asked.includes('holds')) parts.push(await promises())
  return parts.join('\n\n')
}

async function compareAt(workload: Workload): Promise<string> {
  const capacity = await capacityOf(workload)
  const rows: string[] = []
  const curves: Curve[] = []
  for (const policy of Object.keys(policies) as Policy[]) {
    const points: [number, number][] = []
    for (const load of loads) {
      const [, report] = await run<PhaseReport[]>(policies[policy], policy, {
        phases: [warmUp(capacity), { rate: capacity * load, seconds }],
        paths: workloads[workload].paths,
      })
      points.push([load, report!.good / capacity])
      rows.push(`| ${load} | ${policy} | ${cells(report!, capacity)} |`)
    }
    curves.push({ name: policy, points })
  }
  if (workload === 'cpu') writeFileSync('docs/overload.svg', draw(curves))
  return [
    `### ${workloads[workload].title}`,
    '',
    `Capacity: ${capacity.toFixed(0)} a second.`,
    '',
    ...tableHead('policy'),
    ...rows.sort((a, b) => Number(a.split('|')[1]) - Number(b.split('|')[1])),
  ].join('\n')
}

/** The runs behind the promises of `docs/internals/overload.md`. */
async function promises(): Promise<string> {
  const cpu = await capacityOf('cpu')
  const later = await capacityOf({ '/later': 1 })
  const database = await capacityOf('database')
  const at = (rate: number, duration = seconds): Phase[] => [{ rate, seconds: duration }]
  const cases: [name: string, capacity: number, framework: string, plan: Plan][] = []
  for (const framework of ['Express', 'Fastify', 'Hono']) {
    for (const load of [2, 4]) {
      const plan = { phases: at(cpu * load), paths: { '/cpu': 1 }, priorities: { normal: 0.95, critical: 0.05 } }
      cases.push([`CPU at ${load} times, ${framework}`, cpu, framework, plan])
    }
  }
  for (const load of [2, 4]) {
    const plan = { phases: at(cpu * load), paths: { '/cpu': 1 }, isReconnecting: true }
    cases.push([`CPU at ${load} times, a connection each`, cpu, 'Express', plan])
  }
  const latePlan = { phases: at(later * 2), paths: { '/later': 1 } }
  cases.push(['after an await at 2 times', later, 'Express', latePlan])
  const slowPlan = { phases: [...at(database * 2, 2), ...at(database * 2)], paths: { '/database': 1 } }
  cases.push(['database at 2 times, from the start and after 2 s', database, 'Express', slowPlan])
  cases.push(['at 70 %', cpu, 'Express', { phases: at(cpu * 0.7, 10), paths: { '/cpu': 1 } }])
  cases.push([
    'a stall of 300 ms at 60 %',
    cpu,
    'Express',
    { phases: at(cpu * 0.6, 4), paths: { '/cpu': 1 }, stallAfter: 2 },
  ])
  const fall = { phases: [...at(cpu * 4, 2), ...at(cpu * 0.4, 1), ...at(cpu * 0.4, 2)], paths: { '/cpu': 1 } }
  cases.push(['after the load has fallen: at 4 times, the next second, later', cpu, 'Express', fall])
  const rows: string[] = []
  for (const [name, capacity, framework, plan] of cases) {
    const phases = [warmUp(capacity), ...plan.phases]
    const [, ...reports] = await run<PhaseReport[]>(framework, 'posthaste', { ...plan, phases })
    for (const report of reports) {
      rows.push(`| ${(report.sent / capacity).toFixed(1)} | ${name} | ${cells(report, capacity)} |`)
    }
  }
  return ['### What must hold', '', ...tableHead('case'), ...rows].join('\n')
}

/** For the compiler: cold code has another capacity. */
function warmUp(capacity: number): Phase {
  return { rate: capacity / 2, seconds: 1 }
}

function tableHead(second: string): string[] {
  return [
    `| load | ${second} | good, of the capacity | refused a second | lost a second | P50 ms | P99 ms | P99 after 0.5 s | refusals P99 | health, worst | critical refused | client late |`,
    '|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
  ]
}

function cells(report: PhaseReport, capacity: number): string {
  const { good, refused, lost, p50, p99, p99Steady, refusedP99, healthWorst, refusedCritical, clientLate } = report
  const times = [p50, p99, p99Steady, refusedP99, healthWorst].map((ms) => (ms === null ? '' : ms.toFixed(0)))
  const numbers = [refused, lost].map((count) => count.toFixed(0))
  return [
    `${((good / capacity) * 100).toFixed(0)} %`,
    ...numbers,
    ...times,
    refusedCritical,
    clientLate.toFixed(0),
  ].join(' | ')
}

function capacityOf(workload: Workload | Readonly<Record<string, number>>): Promise<number> {
  const paths = typeof workload === 'string' ? workloads[workload].paths : workload
  return run<number>('Express', 'none', { phases: [{ rate: 0, seconds: 2 }], paths, clients: 32 })
}

async function run<Report>(framework: string, policy: string, plan: Plan): Promise<Report> {
  const server = fork(new URL('./support/overload-server.ts', import.meta.url), [framework, policy])
  try {
    const [{ port }] = (await once(server, 'message')) as [{ port: number }]
    const client = fork(new URL('./support/overload-client.ts', import.meta.url), [String(port), JSON.stringify(plan)])
    const [report] = (await once(client, 'message')) as [Report]
    return report
  } finally {
    server.kill()
  }
}

interface Curve {
  readonly name: Policy
  readonly points: readonly (readonly [load: number, share: number])[]
}

const colors: Readonly<Record<Policy, string>> = {
  none: '#9a9a9a',
  'under-pressure': '#d08a2e',
  'toobusy-js': '#b5493c',
  'overload-protection': '#7a63b8',
  posthaste: '#1f7a5c',
}

/** Goodput against offered load, both as multiples of the capacity. */
function draw(curves: readonly Curve[]): string {
  const [width, height, left, top, right, bottom] = [720, 400, 70, 20, 170, 50]
  const x = (load: number) => left + (load / 5) * (width - left - right)
  const y = (share: number) => height - bottom - Math.min(1.1, share) * ((height - top - bottom) / 1.1)
  const text = (at: readonly [number, number], content: string, attributes = '') =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" ${attributes}>${content}</text>`
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    `<line x1="${left}" x2="${width - right}" y1="${y(share)}" y2="${y(share)}" stroke="#ddd"/>`,
    text([left - 8, y(share) + 4], `${share * 100} %`, 'text-anchor="end"'),
  ])
  const ticks = [0, 1, 2, 3, 4, 5].map((load) =>
    text([x(load), height - bottom + 18], String(load), 'text-anchor="middle"'),
  )
  const lines = curves.map(({ name, points }) => {
    const path = points.map(([load, share]) => `${x(load).toFixed(1)},${y(share).toFixed(1)}`).join(' ')
    const stroke = name === 'posthaste' ? 3 : 1.5
    return `<polyline points="${path}" fill="none" stroke="${colors[name]}" stroke-width="${stroke}"/>`
  })
  // Names beside the ends of their lines, from the top down, so that none covers another.
  let lowest = 0
  const names = curves
    .map(({ name, points }) => ({ name, at: y(points.at(-1)?.[1] ?? 0) + 4 }))
    .sort((a, b) => a.at - b.at)
    .map(({ name, at }) => {
      lowest = Math.max(at, lowest + 16)
      return text([width - right + 8, lowest], name, `fill="${colors[name]}"`)
    })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" fill="#444">`,
    '<title>Goodput against offered load</title>',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...grid,
    ...ticks,
    text(
      [(left + width - right) / 2, height - 10],
      'offered load, as a multiple of the capacity',
      'text-anchor="middle"',
    ),
    text(
      [0, 0],
      'answered in time, of the capacity',
      `text-anchor="middle" transform="translate(16 ${height / 2 - 20}) rotate(-90)"`,
    ),
    ...lines,
    ...names,
    '</svg>',
    '',
  ].join('\n')
}
