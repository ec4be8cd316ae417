import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { median, shuffle } from './harness.ts'

const program = fileURLToPath(new URL('./support/scope-cost.ts', import.meta.url))
const starts = Number(process.env.BENCH_STARTS ?? 5)
/** The sources of another release, to compare with: the path of its `src`. */
const before = process.env.BENCH_BEFORE

/**
 * What does the scope add to a request? Processor time of `monitorRequests` and a handler without a server, in processes of their
 * own: once something is instrumented, every request of a process has a scope.
 */
export default async function requestScope(): Promise<string> {
  const sources = before === undefined ? ['../../src'] : [before, '../../src']
  const variants = sources.flatMap((source) =>
    (
      [
        ['off', '0'],
        ['on', '0'],
        ['off', '1'],
        ['on', '1'],
      ] as const
    ).map(([mode, queries]) => ({ source, mode, queries, us: [] as number[] })),
  )
  for (let start = 0; start < starts; start++) {
    for (const { source, mode, queries, us } of shuffle(variants)) us.push(await costOf([source, mode, queries]))
  }
  const rows = variants.map(({ source, mode, queries, us }) => {
    const release = source === '../../src' ? 'this' : 'before'
    return `| ${release} | ${mode} | ${queries} | ${median(us).toFixed(2)} |`
  })
  return [
    '| release | a `Kysely` is instrumented | queries a request | us a request |',
    '|---|---|---:|---:|',
    ...rows,
    '',
    `The lowest tenth of 40 rounds of 2,000 requests, median of ${starts} starts. The query is one of SQLite in memory; where none is instrumented, it is watched by nobody.`,
  ].join('\n')
}

async function costOf(args: readonly string[]): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args])
  return Number(stdout)
}
