import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'

/** The suites that draw at random or count, as long as they are run before a release. `npm test` runs a part of each. */
const suites: readonly { readonly path: string; readonly env: Readonly<Record<string, string>> }[] = [
  { path: 'test/pagination/typed-walks', env: { RUNS: '4000' } },
  { path: 'test/pagination/seeks', env: { SEEK_ROWS: '300000' } },
  { path: 'test/pagination/engine-', env: { PROPERTY_RUNS: '2000' } },
  { path: 'test/pagination/list-query', env: { PROPERTY_RUNS: '100000' } },
  { path: 'test/http/differential', env: { RUNS: '10000' } },
  { path: 'test/http/response-cache', env: { RUNS: '1000000' } },
  { path: 'test/cache/interleavings', env: { TORTURE: 'all' } },
  { path: 'test/cache/random-history', env: { RUNS: '2000' } },
  { path: 'test/cache/torture', env: { TORTURE: 'all', TORTURE_MS: '15000' } },
  { path: 'test/cache/redis/limits', env: { IDS: '10000' } },
  { path: 'test/cache/memory', env: { RUNS: '100000' } },
  { path: 'test/database/cancel', env: { RUNS: '200' } },
  { path: 'test/database/auto-batch', env: { RUNS: '2000' } },
  { path: 'test/batch', env: { LARGE_COUNT: '1000000', PROPERTY_RUNS: '10000', RUNS: '2000', KILLS: '100' } },
]

const wanted = process.argv.slice(2)
const seed = process.env.SEED ?? String(randomInt(2 ** 31))
console.log(`SEED=${seed}`)

const failed: string[] = []
for (const { path, env } of suites) {
  if (wanted.length > 0 && !wanted.some((part) => path.includes(part))) continue
  console.log(
    `\n${Object.entries(env)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ')} ${path}`,
  )
  const { status } = spawnSync('vitest', ['run', '--project', 'unit', '--testTimeout', '3600000', path], {
    stdio: 'inherit',
    env: { ...process.env, SEED: seed, ...env },
  })
  if (status !== 0) failed.push(path)
}
if (failed.length > 0) {
  console.error(`\nFailed with SEED=${seed}: ${failed.join(', ')}`)
  process.exitCode = 1
}
