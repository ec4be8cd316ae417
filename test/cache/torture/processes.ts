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
  readonly reads: [key: number, startedAt: number, loadBegunAt: number, turnBegunAt: number][]
  readonly invalidations: [tag: number, calledAt: number, resolvedAt: number][]
  readonly failures: string[]
}

export interface TortureOptions {
  /** The module that opens the cache, or one for each of the three processes. */
  readonly subject: string | readonly [string, string, string]
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
  /** Whether the processes are suspended at random moments, each for up to 0.9 s. */
  readonly suspends?: boolean | undefined
  /** Modules whose processes may read later than `withinMs` what others have invalidated. */
  readonly excused?: readonly string[] | undefined
}

export interface TortureResult {
  readonly reads: number
  readonly invalidations: number
  /** Calls that rejected, though no load ever does. */
  readonly failures: readonly string[]
  /** Reads, in the process that invalidated, of a value whose load began before the invalidation. */
  readonly ownViolations: number
  /** The same in other processes, in a turn of their event loop that began later than `withinMs` after it. */
  readonly foreignViolations: number
  /** How long after an invalidation such a value was still read. */
  readonly longestMs: number
}

const workers = 3
const skewMs = 30_000

/** Three processes read and invalidate on one Redis, which must be the caller's own; returns what broke the promise. */
export async function runProcesses(options: TortureOptions): Promise<TortureResult> {
  const { url, seed, troubleAfterMs } = options
  const subjects = Array.from({ length: workers }, (_, index) => {
    return typeof options.subject === 'string' ? options.subject : (options.subject[index] as string)
  })
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
        const subject = subjects[index] as string
        const orders: WorkerOrders = { ...options, subject, skewMs: isAhead ? skewMs : 0, seed: seed + index }
        child.send(orders)
        return messageOf(child)
      }),
    )
    const logs = Promise.all(children.map((child) => messageOf<WorkerLog>(child)))
    // Only now that all are ready: one that worked alone would finish before it is listened to.
    for (const child of children) child.send('go')
    if (options.suspends) for (const child of children) void suspend(child, logs)
    if (troubleAfterMs !== undefined) await makeTrouble(client as never, troubleAfterMs, logs)
    return judge(await logs, subjects, options)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    client.destroy()
  }
}

async function messageOf<Message>(child: ChildProcess): Promise<Message> {
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error('a process ended before its time'))),
  ])) as [Message]
  return message
}

interface Commands {
  sendCommand(command: string[]): Promise<unknown>
}

/** Until the work is done, stops the process again and again, and lets it go on. */
async function suspend(child: ChildProcess, work: Promise<unknown>): Promise<void> {
  let isOver = false
  void Promise.allSettled([work]).then(() => {
    isOver = true
  })
  while (!isOver) {
    await pause(Math.random() * 400)
    child.kill('SIGSTOP')
    await pause(100 + Math.random() * 800)
    child.kill('SIGCONT')
  }
}

/** From then on until the work is done: evicts keys, deletes the clock, flushes everything, cuts the subscribers off. */
async function makeTrouble(client: Commands, afterMs: number, work: Promise<unknown>): Promise<void> {
  let isOver = false
  void Promise.allSettled([work]).then(() => {
    isOver = true
  })
  await pause(afterMs)
  for (let turn = 0; !isOver; turn++) {
    await pause(20)
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

function judge(
  logs: readonly WorkerLog[],
  subjects: readonly string[],
  { withinMs, excused = [] }: TortureOptions,
): TortureResult {
  let ownViolations = 0
  let foreignViolations = 0
  let longestMs = 0
  for (const [reader, { reads }] of logs.entries()) {
    const isExcused = excused.includes(subjects[reader] as string)
    for (const [key, startedAt, loadBegunAt, turnBegunAt] of reads) {
      const breaks = logs.flatMap(({ invalidations }, writer) => {
        const isOwn = reader === writer
        if (isExcused && !isOwn) return []
        const mustHoldAt = isOwn ? startedAt : turnBegunAt - withinMs
        const broken = invalidations.find(([tag, calledAt, resolvedAt]) => {
          const isOfKey = tag === key % 10 || tag === Math.floor(key / 2)
          return isOfKey && loadBegunAt < calledAt && mustHoldAt > resolvedAt
        })
        return broken === undefined ? [] : [{ isOwn, ms: startedAt - broken[2] }]
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
