import { BusyLoop } from './busy-loop.ts'
import { Fifo } from './fifo.ts'
import type { LoopClocks } from './loop-clocks.ts'
import { Pace } from './pace.ts'
import { RefusalDelay } from './refusal-delay.ts'
import { RequestCost } from './request-cost.ts'
import { StandingQueue } from './standing-queue.ts'

/** The order in which requests start: critical, normal, low. */
export type Rank = 0 | 1 | 2

/** A request that may be turned away. */
interface Rejectable {
  refuse(): void
  /** Called instead when {@link isGone}. */
  drop(): void
  /** Whether its client has left. */
  isGone(): boolean
}

/** A request that waits for its turn. */
export interface QueuedRequest extends Rejectable {
  readonly rank: Rank
  /** Whether its deadline has passed: it is refused when its turn comes. */
  isOverdue(): boolean
  start(): void
  /** Called when it leaves the queue, before anything else. */
  onTaken(): void
}

/** How long one turn of the loop works before it looks for new requests: as long as reading took, within these bounds. */
const turnMs = 5
const longestTurnMs = 60
/** For how long, and for how many turns, requests may be read before any of them starts. */
const readingMs = 8
const maxReadingTurns = 64
/**
 * Shares of `maxWait`. A queue that is never shorter than the first is standing. During overload, a request is refused if
 * its expected wait is longer than the second.
 */
const targetShare = 0.2
const expectedShare = 0.65
/** The requests of a burst may wait for this many times `maxWait`. A longer queue does not count as a burst. */
const burstFactor = 7
/** The first requests of a process take several times as long: a queue behind them is no overload, unless it grows fast. */
const coldStarts = 28
/** So many requests may wait whatever they cost, because one expensive request says nothing about the next. */
const fewWaiting = 2

interface Waiting {
  readonly request: QueuedRequest
  readonly at: number
}

/**
 * Starts requests at once while the event loop keeps up. While it does not, they wait in a queue, and a few start each turn.
 *
 * If handlers ran as soon as their requests are read, later requests would wait for all of them, even refusals and health
 * checks. And Node accepts one new connection a turn, so long turns shut new clients out. So this reads first, as long as
 * requests or connections come, and then works for a few milliseconds. If the queue does not become shorter by itself,
 * requests that would wait too long are refused, those of low priority sooner.
 */
export class TurnQueue {
  /** The time that one turn's work takes. */
  turnCostMs = 0
  readonly #clocks: LoopClocks
  readonly #maxWaitMs: number
  readonly #loop: BusyLoop
  readonly #cost = new RequestCost()
  readonly #pace = new Pace(turnMs)
  readonly #standing: StandingQueue
  readonly #refusalDelay = new RefusalDelay()
  readonly #queues: readonly Fifo<Waiting>[] = [new Fifo(), new Fifo(), new Fifo()]
  #length = 0
  /**
   * The times of the first and the last request of this turn that did not start at once. The first is negative if there was
   * none.
   */
  #turnStart = -1
  #lastArrival = 0
  #hasArrivals = false
  #readingTurns = 0
  #isPumpDeferred = false
  #isPaused = false
  #workEndedAt = 0
  /** The end of the latest work that was measured for the cost. */
  #measuredUntil = 0
  /** How many requests were started, and how many have ended. */
  #started = 0
  #ended = 0
  /**
   * How many requests started without the queue since the loop last waited and have not ended; and the time of that wait.
   */
  #freeStarts = 0
  #freeStartsSince = 0
  /** For how long this has read and refused requests: since the last work, and in all. */
  #readMs = 0
  #readInAllMs = 0

  constructor(clocks: LoopClocks, maxWaitMs: number) {
    this.#clocks = clocks
    this.#maxWaitMs = maxWaitMs
    this.#loop = new BusyLoop(clocks)
    this.#standing = new StandingQueue(maxWaitMs * targetShare)
  }

  /** Whether a request may start at once. Reads the clocks. */
  isFreeNow(): boolean {
    const loop = this.#loop
    loop.look()
    if (this.#length > 0 || loop.busyMs >= turnMs) return false
    if (loop.busySince !== this.#freeStartsSince) {
      this.#freeStartsSince = loop.busySince
      this.#freeStarts = 0
    }
    return this.#freeStarts * this.#pace.priceMs < turnMs
  }

  /** The time when {@link isFreeNow} was called, or when the present work began. */
  get now(): number {
    return this.#loop.now
  }

  /** Counts a request that was started without the queue. */
  countStart(): void {
    this.#started++
    this.#freeStarts++
    this.#pace.spend()
    this.#measurePrice()
  }

  /** Counts a request that has ended, be it well or not. */
  countEnd(): void {
    this.#ended++
    if (this.#freeStarts > 0) this.#freeStarts--
  }

  /** Turns a request away that has just come. Call it after {@link isFreeNow}. */
  turnAway(request: Rejectable): void {
    this.#noteArrival()
    this.#deferPump()
    this.#refuse(request)
  }

  /** Lets a request wait for its turn, or refuses it because it would wait too long. Call it after {@link isFreeNow}. */
  add(request: QueuedRequest): boolean {
    const loop = this.#loop
    this.#noteArrival()
    if (this.#length === 0) {
      // The loop's work long before the first request, such as the start of the process, is not the cost of a request.
      const earliest = this.#cost.ms === 0 ? loop.now - turnMs : 0
      this.#measuredUntil = Math.max(this.#measuredUntil, loop.busySince, earliest)
    }
    this.#hasArrivals = true
    if (request.rank > 0 && this.#wouldWaitTooLong(request.rank)) return false
    this.#queues[request.rank]!.push({ request, at: this.#turnStart })
    this.#length++
    this.#deferPump()
    return true
  }

  /** Counts a new connection: its first request can be read in the next turn. */
  readonly onConnection = (): void => {
    this.#hasArrivals = true
  }

  /** How long a request of normal priority would wait now. */
  get expectedWaitMs(): number {
    return (this.#queues[0]!.size + this.#queues[1]!.size) * this.#cost.ms
  }

  get isOverloaded(): boolean {
    return this.#standing.isOverload && this.#length > 0
  }

  #wouldWaitTooLong(rank: Rank): boolean {
    let ahead = 0
    for (let first = 0; first <= rank; first++) ahead += this.#queues[first]!.size
    if (ahead < fewWaiting) return false
    const boundMs = this.#maxWaitMs * (this.#standing.isOverload ? expectedShare : burstFactor)
    const waitMs = ahead * this.#cost.ms
    // Otherwise the queue, which no longer grows, would seem to drain by itself.
    if (waitMs > boundMs) this.#standing.isOverload = true
    return waitMs > (rank === 2 ? boundMs / 2 : boundMs)
  }

  #noteArrival(): void {
    const { now } = this.#loop
    if (this.#turnStart < 0) this.#turnStart = now
    this.#lastArrival = now
  }

  #refuse(request: Rejectable): void {
    const refuse = () => (request.isGone() ? request.drop() : request.refuse())
    const delayMs = request.isGone() ? 0 : this.#refusalDelay.next()
    if (delayMs === 0) refuse()
    else this.#clocks.after(delayMs, refuse)
  }

  #measurePrice(): void {
    const { now } = this.#loop
    if (this.#pace.isMeasureDue(now)) {
      this.#pace.measure(now, this.#clocks.idle() + this.#readInAllMs, this.#ended)
    }
  }

  #deferPump(): void {
    if (this.#isPumpDeferred) return
    this.#isPumpDeferred = true
    this.#clocks.defer(this.#pump)
  }

  /** Runs at the end of each turn while requests wait. */
  readonly #pump = (): void => {
    this.#isPumpDeferred = false
    this.#loop.look()
    const { now } = this.#loop
    if (this.#turnStart >= 0) {
      const readMs = this.#lastArrival - this.#turnStart
      this.#readMs += readMs
      this.#readInAllMs += readMs
      this.#turnStart = -1
    }
    this.#refusalDelay.judge(now, this.#readInAllMs)
    if (this.#length === 0) {
      this.#readMs = 0
      return
    }
    if (this.#hasArrivals && this.#readMs < readingMs && this.#readingTurns < maxReadingTurns) {
      this.#hasArrivals = false
      this.#readingTurns++
      this.#deferPump()
      return
    }
    this.#hasArrivals = false
    this.#readingTurns = 0
    this.#refuseLate(now)
    this.#loop.look()
    this.#pace.refill(now, this.#clocks.idle(), now - this.#workEndedAt - this.#readMs)
    this.#measurePrice()
    const startedAt = this.#loop.now
    const startedBefore = this.#started
    try {
      this.#work(startedAt)
    } finally {
      // Handlers behind a promise run after this function.
      this.#clocks.settle(() => this.#endWork(startedAt, this.#started - startedBefore))
    }
  }

  /**
   * Refuses requests that have waited too long. The first of each queue has waited longest. Without this, requests of low
   * priority might never be taken.
   */
  #refuseLate(now: number): void {
    const boundMs = this.#maxWaitMs * (this.#standing.isOverload ? 1 : burstFactor)
    for (const queue of [this.#queues[1]!, this.#queues[2]!]) {
      // The last few stay and start in this turn: if every turn takes longer than the bound, some must still be served.
      while (this.#length > fewWaiting && queue.first !== undefined && now - queue.first.at > boundMs) {
        this.#refuse(this.#takeFrom(queue))
      }
    }
  }

  #work(startedAt: number): void {
    const budgetMs = Math.min(longestTurnMs, Math.max(turnMs, this.#readMs))
    this.#readMs = 0
    let started = 0
    // Handlers that run at once are limited by the clock, handlers behind a promise by their cost.
    while (
      this.#length > 0 &&
      this.#pace.allowsStart &&
      (started === 0 || started * this.#pace.startCostMs < budgetMs)
    ) {
      const request = this.#takeFrom(this.#queues.find(({ size }) => size > 0)!)
      if (request.isGone() || request.isOverdue()) {
        this.#refuse(request)
        continue
      }
      started++
      this.#started++
      this.#pace.spend()
      request.start()
      this.#loop.look()
      if (this.#loop.now - startedAt >= budgetMs) return
    }
  }

  #takeFrom(queue: Fifo<Waiting>): QueuedRequest {
    const { request } = queue.shift()
    this.#length--
    request.onTaken()
    return request
  }

  #endWork(startedAt: number, started: number): void {
    this.#loop.look()
    const { now } = this.#loop
    this.#workEndedAt = now
    if (started > 0) {
      const passedMs = now - this.#measuredUntil
      this.#measuredUntil = now
      this.#cost.add(passedMs, started)
      this.#pace.addStarts(now - startedAt, started)
      this.turnCostMs += 0.1 * (passedMs - this.turnCostMs)
    }
    const { recoversFromStall } = this.#loop
    this.#standing.look(now, this.#length, this.#cost.ms, recoversFromStall, this.#started < coldStarts)
    if (this.#length === 0) return
    if (started > 0) this.#deferPump()
    else if (!this.#isPaused) {
      this.#isPaused = true
      this.#clocks.after(1, this.#endPause)
    }
  }

  readonly #endPause = (): void => {
    this.#isPaused = false
    this.#deferPump()
  }
}
