import { isWorkers } from '../../shared/platform/runtime.ts'
import { type Clock, systemClock } from '../../shared/time/clock.ts'

const maxUses = 1_000
/** Fake timers of a test runner replace the global one for a while. */
const systemImmediate = /* @__PURE__ */ (() => globalThis.setImmediate)()
/** 12 days. Twice this is a small integer, which V8 keeps in its object instead of apart. */
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

  /** Behind by no more than this turn of the event loop has taken so far. */
  now(): number {
    // Uses are counted as well, because a turn lasts while one promise settles after another.
    if (this.#usesLeft-- <= 0) this.#refresh()
    return this.#cached as number
  }

  /** The same in whole milliseconds since this object was made, rounded up. */
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
    // No timer: one that is due does not run before others, nor before sockets are read. A process that was suspended while it
    // waited would go on with the time from before. And the loop does not wait while an immediate is pending.
    setImmediate(this.#expire)
    // Fake time passes in steps within a turn. And when a test ends, fake timers never run what they have.
    if (setImmediate !== systemImmediate) systemImmediate(this.#expire)
  }
}
