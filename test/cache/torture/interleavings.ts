import { History } from './history.ts'
import type { Subject } from './subject.ts'

/** One step of a schedule; each process reads one key that carries both tags. */
type Step = 'a reads' | 'a loaded' | 'b reads' | 'b loaded' | 'a invalidates x' | 'b invalidates y' | 'fault'

const steps: readonly Step[] = [
  'a reads',
  'a loaded',
  'b reads',
  'b loaded',
  'a invalidates x',
  'b invalidates y',
  'fault',
]

/** Every order of the steps in which a read comes before its load ends: 1,260 of them. */
export function schedules(): Step[][] {
  return orders(steps).filter((order) => {
    return order.indexOf('a reads') < order.indexOf('a loaded') && order.indexOf('b reads') < order.indexOf('b loaded')
  })
}

function orders(remaining: readonly Step[]): Step[][] {
  if (remaining.length === 0) return [[]]
  return remaining.flatMap((step) => orders(remaining.filter((other) => other !== step)).map((rest) => [step, ...rest]))
}

/** No read of this machine takes so long, however busy it is. One that does waits for a load that may not end before it. */
const blockedMs = 5_000

/**
 * Runs one schedule, each step once the one before has taken effect, with a read in the invalidating process after every
 * invalidation, and returns what broke the promise, and which of those reads waited for a load that had begun before.
 *
 * @param name - makes the schedule's key and tags its own
 * @param fault - what the step `fault` does, given the schedule's tags
 * @param withinMs - how long after an invalidation it must hold in the other process
 */
export async function runSchedule(
  schedule: readonly Step[],
  name: string,
  a: Subject,
  b: Subject,
  fault: (tags: readonly string[], key: string) => Promise<void>,
  withinMs: number,
): Promise<string[]> {
  const tags = [`${name}-x`, `${name}-y`]
  const history = new History(() => tags)
  const gates = { a: gate(), b: gate() }
  const pending: Promise<void>[] = []
  const waits: string[] = []
  const begunAt = { a: 0, b: 0 }

  /** Begins a read, and waits until its load runs, it has its answer, or it waits for the other process. */
  async function begin(process: 'a' | 'b', subject: Subject): Promise<void> {
    const loading = gate()
    const load = async () => {
      const value = history.load()
      begunAt[process] = performance.now()
      loading.open()
      await gates[process].promise
      return value
    }
    const read = history.read(process, name, () => subject.getOrSet(name, load, tags))
    pending.push(read)
    await Promise.race([loading.promise, read, pause(4)])
  }

  /** A whole read, whose load takes no time. Those of the schedule wait for their own step, so it must not wait for them. */
  async function read(process: 'a' | 'b', subject: Subject, invalidatedAt: number): Promise<void> {
    const load = async () => history.load()
    let isDone = false
    const done = history
      .read(process, name, () => subject.getOrSet(name, load, tags))
      .then(() => {
        isDone = true
      })
    pending.push(done)
    for (const start = performance.now(); !isDone && performance.now() < start + blockedMs; ) {
      await Promise.race([done, pause(5)])
      // A read of the schedule that was still waiting itself may have begun to load now. Its value is new enough.
      if (Math.max(begunAt.a, begunAt.b) > invalidatedAt) return
    }
    if (!isDone) waits.push(`a read by ${process} waited for a load that had begun before the invalidation`)
  }

  for (const step of schedule) {
    if (step === 'a reads') await begin('a', a)
    else if (step === 'b reads') await begin('b', b)
    else if (step === 'a loaded') gates.a.open()
    else if (step === 'b loaded') gates.b.open()
    else if (step === 'fault') await fault(tags, name)
    else {
      const [process, subject, tag] =
        step === 'a invalidates x' ? (['a', a, tags[0]] as const) : (['b', b, tags[1]] as const)
      const invalidatedAt = performance.now()
      await history.invalidate(process, tag as string, () => subject.invalidateTag(tag as string))
      await read(process, subject, invalidatedAt)
    }
    await pause(0)
  }
  await Promise.all(pending)
  const readBoth = () => Promise.all([read('a', a, performance.now()), read('b', b, performance.now())])
  await readBoth()
  await pause(withinMs + 20)
  await readBoth()
  return [...history.violations(withinMs), ...waits]
}

function gate(): { readonly promise: Promise<void>; readonly open: () => void } {
  let open!: () => void
  const promise = new Promise<void>((resolve) => {
    open = resolve
  })
  return { promise, open }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    if (ms === 0) setImmediate(resolve)
    else setTimeout(resolve, ms)
  })
}
