import { cpus, loadavg } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'

/** One way of doing the work that is compared. */
export interface Candidate {
  readonly name: string
  /** Does the work once. */
  readonly run: () => unknown
  /** Said in the table instead of a time: a library whose result is wrong gets no time. */
  readonly wrong?: string | undefined
}

export interface CompareOptions {
  /** Runs of each candidate in a round. */
  readonly iterations: number
  /** Rounds that count. @defaultValue 30 */
  readonly rounds?: number
  /** Rounds before them, for the compiler. @defaultValue 5 */
  readonly warmUp?: number
  /** `cpu` charges user and system time of the process, so that waiting costs nothing. @defaultValue 'wall' */
  readonly measure?: 'wall' | 'cpu'
}

/** What came out for one candidate. */
export interface Result {
  readonly name: string
  /** Median over the rounds, in microseconds a run. */
  readonly medianUs: number
  /** Median of the ratios to the first candidate, each taken within one round. */
  readonly ratio: number
  /** The middle half of those ratios. */
  readonly range: readonly [low: number, high: number]
}

/**
 * Runs the candidates in turns within one process, in another order each round, and compares each with the first one. The
 * first one runs twice a round: what lies between it and itself is the noise floor, and smaller differences mean nothing.
 */
export async function compare(candidates: readonly Candidate[], options: CompareOptions): Promise<Result[]> {
  const { iterations, rounds = 30, warmUp = 5, measure = 'wall' } = options
  const [first] = candidates
  if (first === undefined) return []
  const timed = [...candidates.filter(({ wrong }) => wrong === undefined), { ...first, name: `${first.name}, again` }]
  const times = new Map<string, number[]>(timed.map(({ name }) => [name, []]))
  for (let round = -warmUp; round < rounds; round++) {
    for (const { name, run } of shuffle(timed)) {
      await turn()
      const us = await measured(run, iterations, measure)
      if (round >= 0) times.get(name)?.push(us)
    }
  }
  const base = times.get(first.name) ?? []
  return timed.map(({ name }) => {
    const own = times.get(name) ?? []
    const ratios = own.map((us, round) => us / (base[round] ?? Number.NaN)).sort((a, b) => a - b)
    return {
      name,
      medianUs: median(own),
      ratio: median(ratios),
      range: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    }
  })
}

/** The results as a Markdown table, with what is wrong named in place of a time. */
export function table(results: readonly Result[], candidates: readonly Candidate[] = []): string {
  const rows = results.map(
    ({ name, medianUs, ratio, range: [low, high] }) =>
      `| ${name} | ${medianUs.toPrecision(3)} | ${ratio.toFixed(2)} | ${low.toFixed(2)} to ${high.toFixed(2)} |`,
  )
  const wrong = candidates.flatMap((candidate) =>
    candidate.wrong === undefined ? [] : [`| ${candidate.name} | wrong: ${candidate.wrong} | | |`],
  )
  return ['| | us a run | ratio | middle half |', '|---|---:|---:|---:|', ...rows, ...wrong].join('\n')
}

/** Where and on what a run took place, as a line for the report. */
export function machine(): string {
  const [cpu] = cpus()
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(' ')
  return `Node ${process.version}, ${cpus().length} x ${cpu?.model ?? 'unknown processor'}, load average ${load}`
}

async function measured(run: () => unknown, iterations: number, measure: 'wall' | 'cpu'): Promise<number> {
  const cpu = process.cpuUsage()
  const start = performance.now()
  for (let iteration = 0; iteration < iterations; iteration++) {
    const result = run()
    // Awaiting what is no promise would charge every synchronous candidate for a turn of the queue.
    if (result instanceof Promise) await result
  }
  if (measure === 'wall') return ((performance.now() - start) * 1_000) / iterations
  const { user, system } = process.cpuUsage(cpu)
  return (user + system) / iterations
}

export function shuffle<Item>(items: readonly Item[]): Item[] {
  const order = items.map((item) => ({ item, at: Math.random() }))
  return order.sort((a, b) => a.at - b.at).map(({ item }) => item)
}

export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  )
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
