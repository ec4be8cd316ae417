import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { startInterval, startTimer } from '../../../src/shared/time/timers.ts'
import { sleep, untilAborted, withDeadline } from '../../../src/shared/time/waiting.ts'

const day = 86_400_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  expect(vi.getTimerCount(), 'timers left').toBe(0)
  vi.useRealTimers()
})

describe('a timer', () => {
  // Node's own fire after 1 ms from 2^31 ms on.
  it.each([0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32, 365 * day])('fires after %d ms, and not before', (ms) => {
    const run = vi.fn()
    startTimer(run, ms)
    vi.advanceTimersByTime(Math.max(0, ms - 1))
    expect(run).toHaveBeenCalledTimes(ms === 0 ? 1 : 0)
    vi.advanceTimersByTime(1)
    expect(run).toHaveBeenCalledTimes(1)
  })

  it('never fires after Infinity', () => {
    const run = vi.fn()
    const timer = startTimer(run, Number.POSITIVE_INFINITY)
    vi.advanceTimersByTime(500 * day)
    expect(run).not.toHaveBeenCalled()
    timer.cancel()
  })

  it('can be cancelled in each of its parts', () => {
    for (const passed of [0, 2 ** 31, 2 ** 31 * 2]) {
      const run = vi.fn()
      const timer = startTimer(run, 100 * day)
      vi.advanceTimersByTime(passed)
      timer.cancel()
      vi.advanceTimersByTime(200 * day)
      expect(run).not.toHaveBeenCalled()
    }
  })

  it('keeps the process alive only when asked to', () => {
    vi.useRealTimers()
    const countAlive = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = countAlive()
    const idle = startTimer(() => {}, 60_000)
    expect(countAlive()).toBe(before)
    const alive = startTimer(() => {}, 60_000, { keepsAlive: true })
    expect(countAlive()).toBe(before + 1)
    alive.cancel()
    idle.cancel()
    vi.useFakeTimers()
  })
})

describe('an interval', () => {
  it.each([5, 40 * day])('fires every %d ms until it is cancelled, by its own function too', (ms) => {
    const run = vi.fn(() => {
      if (run.mock.calls.length === 3) interval.cancel()
    })
    const interval = startInterval(run, ms)
    vi.advanceTimersByTime(ms * 2)
    expect(run).toHaveBeenCalledTimes(2)
    vi.advanceTimersByTime(ms * 4)
    expect(run).toHaveBeenCalledTimes(3)
  })
})

describe('sleep', () => {
  it('resolves after any delay', async () => {
    const slept = vi.fn()
    void sleep(40 * day).then(slept)
    await vi.advanceTimersByTimeAsync(40 * day - 1)
    expect(slept).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    expect(slept).toHaveBeenCalled()
  })

  it('rejects with the reason of an abort, before and during', async () => {
    await expect(sleep(10, { signal: AbortSignal.abort('before') })).rejects.toBe('before')
    const controller = new AbortController()
    const sleeping = sleep(10, { signal: controller.signal })
    controller.abort('during')
    await expect(sleeping).rejects.toBe('during')
  })
})

describe('untilAborted', () => {
  it('settles like the promise, and removes its listener', async () => {
    const { signal } = new AbortController()
    const remove = vi.spyOn(signal, 'removeEventListener')
    await expect(untilAborted(Promise.resolve(1), signal)).resolves.toBe(1)
    await expect(untilAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no')
    await expect(untilAborted(Promise.resolve(2), undefined)).resolves.toBe(2)
    expect(remove).toHaveBeenCalledTimes(2)
  })

  it('rejects with the reason of an abort, before and during', async () => {
    const never = new Promise(() => {})
    await expect(untilAborted(never, AbortSignal.abort('before'))).rejects.toBe('before')
    const controller = new AbortController()
    const waiting = untilAborted(never, controller.signal)
    controller.abort('during')
    await expect(waiting).rejects.toBe('during')
  })
})

describe('withDeadline', () => {
  it('settles like the promise in time, and like `late` after', async () => {
    await expect(withDeadline(Promise.resolve(1), 10, () => 2)).resolves.toBe(1)
    await expect(withDeadline(Promise.reject(new Error('no')), 10, () => 2)).rejects.toThrow('no')
    const late = withDeadline(new Promise(() => {}), 10, () => 2)
    await vi.advanceTimersByTimeAsync(10)
    await expect(late).resolves.toBe(2)
    const refused = withDeadline(new Promise(() => {}), 10, () => {
      throw new Error('late')
    })
    const outcome = expect(refused).rejects.toThrow('late')
    await vi.advanceTimersByTimeAsync(10)
    await outcome
  })
})
