/** The longest delay of Node's timers. With a longer delay they fire at once. */
const longestDelayMs = 2 ** 31 - 1

/** A timer of any length, including `Infinity`. */
export interface Timer {
  cancel(): void
}

/**
 * Calls the function once, after the delay.
 *
 * @param keepsAlive - whether the process stays alive until then
 */
export function startTimer(
  run: () => void,
  delayMs: number,
  { keepsAlive = false }: { keepsAlive?: boolean } = {},
): Timer {
  let timer: ReturnType<typeof setTimeout>
  const wait = (restMs: number) => {
    const stepMs = Math.min(restMs, longestDelayMs)
    timer = setTimeout(() => (restMs > stepMs ? wait(restMs - stepMs) : run()), stepMs)
    if (!keepsAlive) release(timer)
  }
  wait(delayMs)
  return { cancel: () => clearTimeout(timer) }
}

/** Calls the function after each interval, until it is cancelled. */
export function startInterval(run: () => void, intervalMs: number): Timer {
  if (intervalMs > longestDelayMs) {
    let timer: Timer
    const next = () => {
      timer = startTimer(() => {
        next()
        run()
      }, intervalMs)
    }
    next()
    return { cancel: () => timer.cancel() }
  }
  const interval = setInterval(run, intervalMs)
  release(interval)
  return { cancel: () => clearInterval(interval) }
}

/** Lets the process end while the timer waits. Timers of Cloudflare Workers are numbers and have no `unref`. */
function release(timer: ReturnType<typeof setTimeout>): void {
  timer.unref?.()
}
