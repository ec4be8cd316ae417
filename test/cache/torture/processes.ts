import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createClient } from '@keyv/redis'

export interface WorkerOrders {
  /** The module that opens the cache. */
  readonly subject: string
  readonly url: string
  readonly namespace: string
  readonly withinMs: number
  readonly forMs: number
  /** How far this process's clock is ahead. */
  readonly skewMs: number
  readonly seed: number
}

/** What a process saw, in milliseconds of the machine's monotonic clock. */
export interface WorkerLog {
  readonly reads: [key: number, startedAt: number, loadBegunAt: number][]
  readonly invalidations: [tag: number, calledAt: number, resolvedAt: number][]
  readonly failures: string[]
}

export interface TortureOptions {
  readonly subject: string
  readonly url: string
  readonly namespace: string
  readonly withinMs: number
  readonly forMs: number
  readonly seed: number
  /**
   * From when on Redis evicts, is flushed, loses its clock and its subscribers. With it, one process's clock is ahead from the
   * beginning; without it, all is well.
   */
  readonly troubleAfterMs?: number | undefined
}

export interface TortureResult {
  readonly reads: number
  readonly invalidations: number
  /** Calls that rejected, though no load ever does. */
  readonly failures: readonly string[]
  /** Reads, in the process that invalidated, of a value whose load began before the invalidation. */
  readonly ownViolations: number
  /** The same in other processes, later than `withinMs` after it. */
  readonly foreignViolations: number
  /** How long after an invalidation such a value was still read. */
  readonly longestMs: number
}

const workers = 3
const skewMs = 30_000

/** Three processes read and invalidate on one Redis, which must be the caller's own; returns what broke the promise. */
export async function runProcesses(options: TortureOptions): Promise<TortureResult> {
  const { url, seed, troubleAfterMs, withinMs } = options
  const client = createClient({ url })
  client.on('error', () => {})
  await client.connect()
  const children = Array.from({ length: workers }, () => {
    return fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
  })
  try {
    await Promise.all(
      children.map((child, index) => {
        const isAhead = troubleAfterMs !== undefined && index === 0
        const orders: WorkerOrders = { ...options, skewMs: isAhead ? skewMs : 0, seed: seed + index }
        child.send(orders)
        return once(child, 'message')
      }),
    )
    const logs = Promise.all(children.map(logOf))
    if (troubleAfterMs !== undefined) await makeTrouble(client as never, troubleAfterMs, logs)
    return judge(await logs, withinMs)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    client.destroy()
  }
}

async function logOf(child: ChildProcess): Promise<WorkerLog> {
  const [log] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error('a process ended before its time'))),
  ])) as [WorkerLog]
  return log
}

interface Commands {
  sendCommand(command: string[]): Promise<unknown>
}

/** From then on until the work is done: evicts keys, deletes the clock, flushes everything, cuts the subscribers off. */
async function makeTrouble(client: Commands, afterMs: number, work: Promise<unknown>): Promise<void> {
  let isOver = false
  void Promise.allSettled([work]).then(() => {
    isOver = true
  })
  await new Promise((resolve) => setTimeout(resolve, afterMs))
  for (let turn = 0; !isOver; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    for (let evicted = 0; evicted < 5; evicted++) {
      const key = await client.sendCommand(['RANDOMKEY'])
      if (typeof key === 'string') await client.sendCommand(['DEL', key])
    }
    if (turn % 10 === 3) {
      const keys = (await client.sendCommand(['KEYS', '*clock'])) as string[]
      for (const key of keys) await client.sendCommand(['DEL', key])
    }
    if (turn % 15 === 7) await client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub'])
    if (turn % 40 === 20) await client.sendCommand(['FLUSHALL'])
  }
}

function judge(logs: readonly WorkerLog[], withinMs: number): TortureResult {
  let ownViolations = 0
  let foreignViolations = 0
  let longestMs = 0
  for (const [reader, { reads }] of logs.entries()) {
    for (const [key, startedAt, loadBegunAt] of reads) {
      const breaks = logs.flatMap(({ invalidations }, writer) => {
        const allowedMs = reader === writer ? 0 : withinMs
        const broken = invalidations.find(([tag, calledAt, resolvedAt]) => {
          const isOfKey = tag === key % 10 || tag === Math.floor(key / 2)
          return isOfKey && loadBegunAt < calledAt && startedAt > resolvedAt + allowedMs
        })
        return broken === undefined ? [] : [{ isOwn: reader === writer, ms: startedAt - broken[2] }]
      })
      if (breaks.length === 0) continue
      if (breaks.some(({ isOwn }) => isOwn)) ownViolations++
      else foreignViolations++
      longestMs = Math.max(longestMs, ...breaks.map(({ ms }) => ms))
    }
  }
  return {
    reads: logs.reduce((sum, { reads }) => sum + reads.length, 0),
    invalidations: logs.reduce((sum, { invalidations }) => sum + invalidations.length, 0),
    failures: logs.flatMap(({ failures }) => failures),
    ownViolations,
    foreignViolations,
    longestMs,
  }
}
