import { performance } from 'node:perf_hooks'
// Not the global: fake timers of a test runner replace it, and no turn would ever end.
import { setImmediate } from 'node:timers'
import { systemClock } from '../../shared/time/clock.ts'
import { startInterval, type Timer } from '../../shared/time/timers.ts'
import { StampNotes } from './stamp-notes.ts'

/** What the tracker runs on; tests pass their own. */
export interface StallClocks {
  /** Makes the stamps; `undefined` when {@link StallClocks.time} does. */
  readonly stamp: (() => number) | undefined
  /** Real time in milliseconds. Measures turns and stalls. */
  readonly time: () => number
  /** Milliseconds that the event loop has spent waiting for events. */
  readonly idle: () => number
  /** Runs the function at the end of the loop's present turn. */
  readonly defer: (run: () => void) => void
}

const heartbeatMs = 50
/** Shorter delays are not a stall. */
const toleranceMs = 10
/** Polling for events that are already there takes up to this long. A client takes longer to react to a response. */
const noIdleMs = 0.05
/** Shorter holds are not attributed to an endpoint. */
const shortestHoldMs = 1
/** The heartbeat stops when there were no requests for this long. */
const restMs = 1_000
/**
 * All requests that waited have been read after this many times the stall, even when the server is busy for 80 % of the
 * time. A busier server may never catch up.
 */
const longestRecovery = 4

/** The requests that waited during a stall and are read after it, in order of arrival. */
interface Backlog {
  readonly stallMs: number
  /** Requests that are read later did not wait. */
  readonly endsAt: number
  /** The note of its first request. */
  readonly first: number
  size: number
  sizeBefore: number
  turns: number
  /** Called when all requests of the backlog have been read. */
  readonly whenRead: Array<() => void>
}

/**
 * Finds how long requests waited for the event loop before their handler started.
 *
 * A handler reads its start time when the event loop gets to the request, so a server that was blocked for 400 ms measures a
 * millisecond for every request that waited (Gil Tene's "coordinated omission", on the server's side). Three facts reveal the
 * waits without measuring each request:
 *
 * 1. Requests read in one turn of the loop had all arrived when the turn began.
 * 2. Requests read in the turn after a long one, without idle time between, waited for up to the length of the long turn.
 * 3. When the last heartbeat is older than it should be, and idle time does not explain it, the loop was blocked.
 *
 * A hold is the time that a handler runs before anything else does.
 */
export class StallTracker {
  /** The latest stamp of the present turn, while its hold lasts; otherwise `NaN`. */
  running: number = Number.NaN
  readonly #clocks: StallClocks
  readonly #time: () => number
  readonly #stamp: (() => number) | undefined
  readonly #notes = new StampNotes()
  #turnStart = -1
  #runningSince = 0
  #isDeferred = false
  #backlog: Backlog | undefined
  #longTurnMs = 0
  #idleAtLongTurn = 0
  #lastBeat = 0
  #idleAtLastBeat = 0
  #heartbeat: Timer | undefined

  constructor(clocks: StallClocks) {
    this.#clocks = clocks
    this.#time = clocks.time
    this.#stamp = clocks.stamp
  }

  /** The latest stamp that has a note. Later stamps need no {@link take}. */
  get newest(): number {
    return this.#notes.newest
  }

  /** Returns the stamp of a request whose handler starts now. */
  start(): number {
    const now = this.#time()
    const stamp = this.#stamp === undefined ? now : this.#stamp()
    if (this.#turnStart < 0) this.#beginTurn(now)
    else this.#endHold(now)
    this.running = stamp
    this.#runningSince = now
    const waitedMs = now - this.#turnStart
    if (this.#backlog !== undefined) {
      this.#notes.add(stamp, waitedMs > toleranceMs ? waitedMs : 0)
      this.#backlog.size++
    } else if (waitedMs > toleranceMs) this.#notes.add(stamp, waitedMs)
    return stamp
  }

  /** Ends the hold of the {@link running} request and returns its milliseconds; 0 when it was short. */
  endRunning(): number {
    this.running = Number.NaN
    const heldMs = this.#time() - this.#runningSince
    return heldMs >= shortestHoldMs ? heldMs : 0
  }

  /** See {@link StampNotes.take}. */
  take(stamp: number): number {
    return this.#notes.take(stamp)
  }

  /** The hold of a note's request in milliseconds; 0 when it was short. */
  holdOf(note: number): number {
    return this.#notes.holdOf(note)
  }

  /**
   * Calls the function with the milliseconds that a note's request waited: now, or when all requests that waited for the same
   * stall have been read. Does not call it when the request did not wait.
   */
  onWait(note: number, use: (waitedMs: number) => void): void {
    const useIfWaited = () => {
      const waitedMs = this.#notes.waitOf(note)
      if (waitedMs > 0) use(waitedMs)
    }
    const backlog = this.#backlog
    if (backlog !== undefined && note >= backlog.first) backlog.whenRead.push(useIfWaited)
    else useIfWaited()
  }

  close(): void {
    this.#heartbeat?.cancel()
    this.#heartbeat = undefined
  }

  #beginTurn(now: number): void {
    if (this.#heartbeat === undefined) this.#startHeartbeat(now)
    this.#turnStart = now
    this.#deferEnd()
    if (this.#backlog !== undefined) return
    const stallMs = this.#stallBefore(now)
    this.#longTurnMs = 0
    if (stallMs > toleranceMs) {
      const endsAt = now + stallMs * longestRecovery
      this.#backlog = { stallMs, endsAt, first: this.#notes.count, size: 0, sizeBefore: 0, turns: 0, whenRead: [] }
    }
  }

  /** How long the loop was blocked until now. */
  #stallBefore(now: number): number {
    if (this.#longTurnMs > 0) return this.#clocks.idle() - this.#idleAtLongTurn < noIdleMs ? this.#longTurnMs : 0
    const sinceBeat = now - this.#lastBeat
    return sinceBeat > heartbeatMs + toleranceMs ? sinceBeat - (this.#clocks.idle() - this.#idleAtLastBeat) : 0
  }

  #deferEnd(): void {
    if (this.#isDeferred) return
    this.#isDeferred = true
    this.#clocks.defer(this.#endTurn)
  }

  readonly #endTurn = (): void => {
    this.#isDeferred = false
    const now = this.#time()
    const turnMs = this.#turnStart < 0 ? 0 : now - this.#turnStart
    this.#endHold(now)
    this.#turnStart = -1
    const backlog = this.#backlog
    if (backlog !== undefined) {
      backlog.turns++
      const isGrowing = backlog.size > backlog.sizeBefore || backlog.turns <= 2
      backlog.sizeBefore = backlog.size
      // Reading a backlog may take many turns: Node accepts one new connection a turn.
      if (isGrowing && now < backlog.endsAt) {
        this.#deferEnd()
        return
      }
      this.#closeBacklog(backlog)
    }
    this.#beat(now)
    this.#longTurnMs = turnMs > toleranceMs ? turnMs : 0
    this.#idleAtLongTurn = this.#idleAtLastBeat
  }

  #closeBacklog({ stallMs, first, size, whenRead }: Backlog): void {
    this.#backlog = undefined
    this.#notes.addStall(stallMs, first, size)
    for (const use of whenRead) use()
  }

  #endHold(now: number): void {
    const stamp = this.running
    if (Number.isNaN(stamp)) return
    this.running = Number.NaN
    const heldMs = now - this.#runningSince
    if (heldMs < shortestHoldMs) return
    if (this.#notes.newest !== stamp) this.#notes.add(stamp, 0)
    this.#notes.setNewestHold(heldMs)
  }

  #startHeartbeat(now: number): void {
    this.#beat(now)
    this.#heartbeat = startInterval(() => this.#onHeartbeat(), heartbeatMs)
  }

  #onHeartbeat(): void {
    const now = this.#time()
    if (now - this.#runningSince > restMs) this.close()
    else if (now - this.#lastBeat <= heartbeatMs + toleranceMs) this.#beat(now)
    else this.#clocks.defer(() => this.#clocks.defer(this.#beatIfQuiet))
  }

  /**
   * Follows a late heartbeat, after which the loop was blocked. Node reads the requests that waited in the next poll phase;
   * those on a connection that it accepts there come one turn later. Only after both may a beat say that the loop is alive.
   */
  readonly #beatIfQuiet = (): void => {
    if (this.#backlog === undefined && this.#turnStart < 0) this.#beat(this.#time())
  }

  #beat(now: number): void {
    this.#lastBeat = now
    this.#idleAtLastBeat = this.#clocks.idle()
  }
}

const { nodeTiming } = performance

/** A user's clock makes the stamps, but stalls are still measured in real time. */
export function stallClocks(clock: () => number): StallClocks {
  return {
    stamp: clock === systemClock ? undefined : clock,
    time: systemClock,
    // `eventLoopUtilization()` returns the same at three times the cost.
    idle: () => nodeTiming.idleTime,
    defer: setImmediate,
  }
}
