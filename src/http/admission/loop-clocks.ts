// Not the globals: fake timers of a test runner replace them, and requests that wait would never start.
import { performance } from 'node:perf_hooks'
import { setImmediate, setTimeout } from 'node:timers'

/** The event loop, as admission control sees and uses it; tests pass their own. */
export interface LoopClocks {
  /** Milliseconds since any moment. */
  readonly now: () => number
  /** Milliseconds that the loop has spent waiting for events. */
  readonly idle: () => number
  /** Runs the function at the end of the loop's present turn: after what can be read was read. */
  readonly defer: (run: () => void) => void
  /** Runs the function when all callbacks of promises have run. */
  readonly settle: (run: () => void) => void
  /** Runs the function so many milliseconds later. Unlike `defer`, it lets the loop wait for events. */
  readonly after: (ms: number, run: () => void) => void
}

/**
 * Whether the runtime measures how long its event loop waits. Bun and Deno have the property, but its value is meaningless.
 */
export function measuresIdleTime(): boolean {
  const { bun, deno } = process.versions
  return bun === undefined && deno === undefined && typeof performance.nodeTiming?.idleTime === 'number'
}

/** The event loop of this process. Where it does not measure its idle time, it counts as one that always keeps up. */
export function nodeLoopClocks(): LoopClocks {
  const now = () => performance.now()
  // Read through the property, each access would look up the object, which takes longer than the clock.
  const { nodeTiming } = performance
  return {
    now,
    idle: measuresIdleTime() ? () => nodeTiming.idleTime : now,
    defer: setImmediate,
    settle: (run) => void Promise.resolve().then(() => process.nextTick(run)),
    after: (ms, run) => void setTimeout(run, ms),
  }
}
