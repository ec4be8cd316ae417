// The global `performance` is a getter. Calling it takes a quarter of the time of reading the clock.
import { performance } from 'node:perf_hooks'
import { isWorkers } from '../platform/runtime.ts'

/**
 * Returns milliseconds since 1970, with fractions, and never goes back. Objects that measure time take a clock as an option,
 * so that tests can set the time.
 */
export type Clock = () => number

/** The monotonic clock of the process, counted from 1970. Changes of the system time after the start do not affect it. */
export const systemClock: Clock = () => origin + performance.now()

/** Read only once, because this getter takes a third of the time of reading the clock. */
const origin = /* @__PURE__ */ (() => performance.timeOrigin)()

/** Smaller differences are ignored: the system's time has no fractions, and is corrected a little all day. */
const toleranceMs = 500

/**
 * The time of day, for times that other processes and clients read too. The monotonic clock is not enough: it does not
 * follow when the system's time is set, and stands still while the machine is suspended.
 */
export const wallClock: Clock = () => {
  const now = systemClock()
  const drift = Date.now() - now
  return Math.abs(drift) < toleranceMs ? now : now + drift
}

const maxUses = 1_000
/** The system's `setImmediate`. Later, fake timers of a test runner may replace the global one for a while. */
const systemImmediate = /* @__PURE__ */ (() => globalThis.setImmediate)()
/** 12 days. Twice this is still a small integer, which V8 stores in the object that holds it. */
const furthestTicks = 2 ** 30 - 1

/**
 * The time, read from the system once in a turn of the event loop, because reading it costs as much as a lookup in memory. A
 * clock given by the user is read every time.
 */
export class CoarseTime {
  readonly #clock: Clock
  readonly #isCoarse: boolean
  /** Not 0 at first: V8 would keep a field of numbers unboxed, and allocate at each read that is not inlined. */
  #cached: number | undefined
  #usesLeft = 0
  /** The time of tick 0. */
  readonly #epoch: number
  #tick = 0
  /** The scheduler of an immediate that is pending. */
  #scheduler: typeof setImmediate | undefined
  readonly #expire = () => {
    this.#scheduler = undefined
    this.#usesLeft = 0
  }

  constructor(clock?: Clock) {
    this.#clock = clock ?? systemClock
    // The immediate would end with the request that started it.
    this.#isCoarse = clock === undefined && !isWorkers
    this.#epoch = Math.floor(this.#clock())
  }

  /** Late by at most the time that this turn of the event loop has taken so far. */
  now(): number {
    // Uses are limited too: a turn lasts as long as one promise settles after another.
    if (this.#usesLeft-- <= 0) this.#refresh()
    return this.#cached as number
  }

  /** As {@link now}, but in whole milliseconds since this object was made, rounded up. */
  tick(): number {
    if (this.#usesLeft-- <= 0) this.#refresh()
    return this.#tick
  }

  /** The last tick that is not after the time, at most {@link furthestTicks} from now. */
  tickOf(time: number): number {
    return Math.min(Math.floor(time - this.#epoch), this.#tick + furthestTicks)
  }

  exact(): number {
    const time = this.#clock()
    if (this.#usesLeft > 0) this.#set(time)
    return time
  }

  #set(time: number): void {
    this.#cached = time
    this.#tick = Math.ceil(time - this.#epoch)
  }

  #refresh(): void {
    this.#set(this.#clock())
    if (!this.#isCoarse) return
    this.#usesLeft = maxUses
    if (this.#scheduler === setImmediate) return
    this.#scheduler = setImmediate
    // Not a timer: if the process was suspended while the loop waited, other timers and reads of sockets could come before
    // it, and get the old time. While an immediate is pending, the loop does not wait.
    setImmediate(this.#expire)
    // Both are needed with fake timers: fake time passes in steps within a turn, and fake immediates never run once a test
    // has ended.
    if (setImmediate !== systemImmediate) systemImmediate(this.#expire)
  }
}
