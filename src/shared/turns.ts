import { setImmediate } from 'node:timers/promises'

/** After so long the event loop gets its turn. */
const longestTurnMs = 3

/** What it returns is to be awaited between two pieces of work: once in a few milliseconds it lets the event loop go on. */
export function pacer(): () => Promise<void> | undefined {
  let turnEnd = performance.now() + longestTurnMs
  const turn = async () => {
    await setImmediate()
    turnEnd = performance.now() + longestTurnMs
  }
  return () => (performance.now() < turnEnd ? undefined : turn())
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
  const pause = pacer()
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
    await pause()
  }
}
