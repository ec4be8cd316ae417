import { once } from 'node:events'
import type { LoadedValue } from './history.ts'
import type { WorkerLog, WorkerOrders } from './processes.ts'
import type { OpenSubject } from './subject.ts'

/** One of the processes of {@link runProcesses}: reads and invalidates until its time is up, and reports what it saw. */
process.once('message', async (orders: WorkerOrders) => {
  const { subject: name, url, namespace, withinMs, forMs, skewMs, seed } = orders
  // Before the library is loaded, which may keep the function.
  const realNow = Date.now
  Date.now = () => realNow() + skewMs
  const { open } = (await import(`./${name}.ts`)) as { open: OpenSubject }
  const subject = await open(url, namespace, withinMs)
  // Libraries load packages and connect with the first call.
  await subject.getOrSet('warm', async () => ({ load: now() }), [])
  const random = generator(seed)
  const log: WorkerLog = { reads: [], invalidations: [], failures: [] }
  const go = once(process, 'message')
  process.send?.('ready')
  await go
  const end = now() + forMs

  const load = async (): Promise<LoadedValue> => {
    const value = { load: now() }
    await pause(random() * 15)
    return value
  }
  let turnBegunAt: number | undefined
  /** When this turn of the event loop first asked: within a turn, time stands still for a cache. */
  const beginTurn = () => {
    if (turnBegunAt !== undefined) return turnBegunAt
    setImmediate(() => {
      turnBegunAt = undefined
    })
    turnBegunAt = now()
    return turnBegunAt
  }
  const read = async () => {
    const key = Math.floor(random() * 20)
    const turnAt = beginTurn()
    const startedAt = now()
    const value = await subject.getOrSet(`key-${key}`, load, tagsOf(key))
    log.reads.push([key, startedAt, value.load, turnAt])
  }
  const invalidate = async () => {
    const tag = Math.floor(random() * 10)
    const calledAt = now()
    if (await subject.invalidateTag(`tag-${tag}`)) log.invalidations.push([tag, calledAt, now()])
  }
  // On a busy machine it takes longer than that to have seen enough.
  const isOver = () => now() >= end && (log.reads.length > forMs / 10 || now() >= end + 10_000)
  const repeat = async (work: () => Promise<void>, pauseMs: number) => {
    while (!isOver()) {
      await work().catch((error: unknown) => log.failures.push(String(error)))
      await pause(random() * pauseMs)
    }
  }
  await Promise.all([...Array.from({ length: 8 }, () => repeat(read, 4)), repeat(invalidate, 60)])
  await new Promise((resolve) => process.send?.(log, resolve))
  await subject.close().catch(() => {})
  process.disconnect()
  // A library whose connections were killed may have left something open.
  setTimeout(() => process.exit(), 500).unref()
})

/** Each key carries two of ten tags. */
export function tagsOf(key: number): string[] {
  return [`tag-${key % 10}`, `tag-${Math.floor(key / 2)}`]
}

/** Milliseconds of the machine's monotonic clock, the same for all processes. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Mulberry32. */
function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 4_294_967_296
  }
}
