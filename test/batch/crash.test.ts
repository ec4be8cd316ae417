import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileCheckpoints, kyselyCheckpoints } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { createJobDatabase, jobDialects } from './support/job-database.ts'
import { itemsDone } from './support/job-databases.ts'

const range = (count: number) => Array.from({ length: count }, (_, index) => index)
const script = join(import.meta.dirname, 'support/job.ts')

/** Runs the job until it ends, or kills it some time after it started. Returns whether it ended. */
async function runJob(args: readonly string[], killAfterMs?: number): Promise<boolean> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), exited])
  if (killAfterMs !== undefined) {
    await Promise.race([sleep(killAfterMs), exited])
    child.kill('SIGKILL')
  }
  return (await exited) === 0
}

/** Kills as many runs as asked that were at work, each at a random moment, and lets a last one end. */
async function killAndResume(kills: number, longestMs: number, run: (killAfterMs?: number) => Promise<boolean>) {
  for (let killed = 0; killed < kills; ) {
    if (await run(Math.random() * longestMs)) return killed
    killed++
  }
  expect(await run()).toBe(true)
  return kills
}

describe.each(jobDialects)('a job on $dialect with `transaction`', ({ dialect, missing }) => {
  const kills = Number(process.env.KILLS ?? (dialect === 'sqlite' ? 20 : 3))
  const count = dialect === 'sqlite' ? 5_000 : 2_000

  it.skipIf(missing)(
    `writes every item exactly once though it is killed ${kills} times`,
    async () => {
      const { db, address, drop } = await createJobDatabase(dialect)
      const checkpoints = kyselyCheckpoints(db)
      const reached = new Set<number>()
      const killed = await killAndResume(kills, 100, async (killAfterMs) => {
        const ended = await runJob([dialect, address, String(count)], killAfterMs)
        // A server may take a moment to notice that the client is gone.
        if (dialect !== 'sqlite') await sleep(50)
        const { processed = 0 } = (await checkpoints.load('job')) ?? {}
        reached.add(processed)
        expect(await itemsDone(db)).toEqual(range(processed))
        return ended
      })
      expect(await itemsDone(db)).toEqual(range(count))
      await drop()
      // Otherwise the kills came before or after the work.
      expect(killed).toBe(kills)
      expect(reached.size).toBeGreaterThan(1)
    },
    240_000,
  )
})

describe('a job with a checkpoint in a file', () => {
  it('leaves out no item though it is killed, and repeats at most what was in flight', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'posthaste-crash-'))
    const log = () =>
      existsSync(join(folder, 'log')) ? readFileSync(join(folder, 'log'), 'utf8').trim().split('\n').map(Number) : []
    const kills = Number(process.env.KILLS ?? 3)
    const killed = await killAndResume(kills, 150, async (killAfterMs) => {
      const ended = await runJob(['file', folder, '3000'], killAfterMs)
      const { processed = 0 } = (await fileCheckpoints(folder).load('job')) ?? {}
      const done = new Set(log())
      expect(range(processed).filter((item) => !done.has(item))).toEqual([])
      return ended
    })
    const all = log()
    rmSync(folder, { recursive: true })
    expect(killed).toBe(kills)
    expect(new Set(all).size).toBe(3_000)
    // Three calls in flight, of batches of seven, and a save that may be one batch behind.
    expect(all.length - 3_000).toBeLessThanOrEqual(kills * 4 * 7)
  }, 240_000)
})
