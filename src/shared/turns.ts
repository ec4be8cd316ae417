import { setImmediate } from 'node:timers/promises'

/** After so long the event loop gets its turn. */
const longestTurnMs = 3

/** When the present turn has lasted long enough. One for all, because all share the loop. */
let turnEnd = 0

/** What it returns is to be awaited between two pieces of work: once in a few milliseconds it lets the event loop go on. */
export function pause(): Promise<void> | undefined {
  return performance.now() < turnEnd ? undefined : nextTurn()
}

async function nextTurn(): Promise<void> {
  await setImmediate()
  turnEnd = performance.now() + longestTurnMs
}

/** Runs work to its end that says, with `yield`, where it may be interrupted; without doing so. */
export function runAtOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}

/** Runs such work in pieces of a few milliseconds. */
export async function runInTurns<Result>(work: Generator<void, Result>): Promise<Result> {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
    await pause()
  }
}
