// The fake timers of a test runner replace the globals, and then the work would never go on.
import { performance } from 'node:perf_hooks'
import { setImmediate } from 'node:timers'

/** How long work may block the event loop. */
const sliceMs = 3

/** When the current slice ends. One variable for the process, because all work shares one event loop. */
let sliceEndsAt = 0

/** Long work awaits this after each of its steps. Every few milliseconds, the event loop then runs other work. */
export function yieldIfDue(): Promise<void> | undefined {
  return performance.now() < sliceEndsAt ? undefined : nextTurn()
}

async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  sliceEndsAt = performance.now() + sliceMs
}

/** Runs a generator to its end, without interruptions. The generator yields wherever it may be interrupted. */
export function runAtOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}

/** Runs a generator like {@link runAtOnce}, but in slices of a few milliseconds. */
export async function runInSlices<Result>(work: Generator<void, Result>): Promise<Result> {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
    await yieldIfDue()
  }
}
