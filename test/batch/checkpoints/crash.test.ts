import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildSync } from 'esbuild'
import { type Kysely, sql } from 'kysely'
import { fileCheckpoints, kyselyCheckpoints } from 'posthaste'
import { beforeAll, describe, expect, it } from 'vitest'
import { createJobDatabase, jobDialects } from '../support/job-database.ts'
import { itemsDone, type JobDialect, type JobTables } from '../support/job-databases.ts'

const range = (count: number) => Array.from({ length: count }, (_, index) => index)
const killsOf = (kind: JobDialect | 'file') => Number(process.env.KILLS ?? (kind === 'sqlite' ? 20 : 3))
const batchSize = 7

/** Bundled once, because loading Kysely file by file takes a process several times longer than all its work. */
let job: Uint8Array
beforeAll(() => {
  const { outputFiles } = buildSync({
    entryPoints: [join(import.meta.dirname, '../support/job.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    packages: 'bundle',
    external: ['better-sqlite3', 'pg', 'mysql2'],
  })
  job = outputFiles[0]?.contents as Uint8Array
})

/** Runs the job until it ends or kills itself. Returns which of the two it did. */
async function runJob(...args: readonly (string | number)[]): Promise<'ended' | 'killed'> {
  const child = spawn(process.execPath, ['--input-type=module', '-', ...args.map(String)], {
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  child.stdin.end(job)
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once('exit', (...how) => resolve(how)),
  )
  if (signal === 'SIGKILL') return 'killed'
  expect(code).toBe(0)
  return 'ended'
}

/** A server may take a moment to notice that a client is gone, and to finish or undo what it had begun. */
async function clientsGone(db: Kysely<JobTables>, dialect: JobDialect): Promise<void> {
  const threads = sql`select 1 from information_schema.processlist where db = database() and id <> connection_id()`
  const others = {
    sqlite: undefined,
    postgres: sql`select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    mariadb: threads,
    mysql: threads,
  }[dialect]
  while (others !== undefined && (await others.execute(db)).rows.length > 0) await sleep(5)
}

describe.each(jobDialects)('a job on $dialect with `transaction`', ({ dialect, missing }) => {
  const kills = killsOf(dialect)
  // A batch is ten statements of two moments: BEGIN, the checkpoint, seven rows, COMMIT. Twenty kills are one at each
  // moment of the third batch. They begin at its end, so that fewer kills are those around COMMIT.
  const afterCommit = 16 + 20 + 20
  const moments = range(kills).map((kill) => afterCommit - (kill % 20))

  it.skipIf(missing)(
    `writes every item exactly once though it is killed ${kills} times`,
    async () => {
      const { db, address, drop } = await createJobDatabase(dialect)
      const checkpoints = kyselyCheckpoints(db)
      const count = (kills + 2) * 3 * batchSize
      let before = 0
      for (const moment of moments) {
        expect(await runJob(dialect, address, count, moment)).toBe('killed')
        await clientsGone(db, dialect)
        const { processed = 0 } = (await checkpoints.load('job')) ?? {}
        expect(await itemsDone(db)).toEqual(range(processed))
        // Two batches were whole, and a third one if its COMMIT arrived.
        expect([2, 3]).toContain((processed - before) / batchSize)
        if (moment !== afterCommit) expect(processed - before).toBe(2 * batchSize)
        before = processed
      }
      expect(await runJob(dialect, address, count, 0)).toBe('ended')
      expect(await itemsDone(db)).toEqual(range(count))
      await drop()
    },
    240_000,
  )
})

describe('a job with a checkpoint in a file', () => {
  const kills = killsOf('file')

  it(`leaves out no item though it is killed ${kills} times, and repeats at most what was in flight`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'posthaste-crash-'))
    const log = () => readFileSync(join(folder, 'log'), 'utf8').trim().split('\n').map(Number)
    const count = (kills + 1) * 10 * batchSize
    for (const kill of range(kills)) {
      expect(await runJob('file', folder, count, 5 * batchSize + kill)).toBe('killed')
      const { processed = 0 } = (await fileCheckpoints(folder).load('job')) ?? {}
      const done = new Set(log())
      expect(range(processed).filter((item) => !done.has(item))).toEqual([])
    }
    expect(await runJob('file', folder, count, 0)).toBe('ended')
    const all = log()
    rmSync(folder, { recursive: true })
    expect(new Set(all).size).toBe(count)
    // Three calls in flight, of batches of seven, and a save that may be one batch behind.
    expect(all.length - count).toBeLessThanOrEqual(kills * 4 * batchSize)
  }, 240_000)
})
