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

/** How long one turn of the loop works before it looks for new requests: as long as looking took, within these bounds. */
const turnMs = 5
const longestTurnMs = 60
/** How long, and how many turns, reading may go on without any work. */
const readingMs = 8
const maxReadingTurns = 64
/** Of `maxWait`: what the queue must be shorter than once in a while, and from which expected wait on requests are refused. */
const targetShare = 0.2
const expectedShare = 0.65
/** A burst may wait for so many times `maxWait`. What makes others wait longer is none. */
const burstFactor = 7
/** The first requests of a process take several times as long: a queue behind them is no overload, unless it grows fast. */
const coldStarts = 28
/** So many requests may wait whatever they cost: of one that takes long, the cost is no measure. */
const fewWaiting = 2

interface Waiting {
  readonly request: QueuedRequest
  readonly at: number
}

/**
 * Starts requests at once while the event loop keeps up, and from a queue, a few a turn, while it does not.
 *
 * While handlers run as they are read, whoever is read later waits for them all: refusals and health checks too. And Node
 * accepts one new connection a turn, so long turns shut new clients out. So this reads first, as long as requests or connections
 * come, and then works for a few milliseconds. When the queue does not become shorter by itself, requests that would wait for too
 * long are refused, those of low priority sooner.
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
  /** When the first request of this turn came that did not start at once, and the last; the first is negative before. */
  #turnStart = -1
  #lastArrival = 0
  #hasArrivals = false
  #readingTurns = 0
  #isPumpDeferred = false
  #isPaused = false
  #workEndedAt = 0
  /** The end of the work that the cost was measured up to. */
  #measuredUntil = 0
  /** Number of requests that were started, and that have ended. */
  #started = 0
  #ended = 0
  /** Number of those that started without the queue since the loop waited last, which was then, and have not ended. */
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
      // What the loop did long before the first request, such as the start of the process, is no cost of one.
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
    // Else the queue, which grows no more, would seem to go by itself.
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

  /** In every queue, the first has waited longest. Requests of low priority might never be taken. */
  #refuseLate(now: number): void {
    const boundMs = this.#maxWaitMs * (this.#standing.isOverload ? 1 : burstFactor)
    for (const queue of [this.#queues[1]!, this.#queues[2]!]) {
      // The last ones start in this turn: if a turn takes longer than the bound, some must still be served.
      while (this.#length > fewWaiting && queue.first !== undefined && now - queue.first.at > boundMs) {
        this.#refuse(this.#takeFrom(queue))
      }
    }
  }

  #work(startedAt: number): void {
    const budgetMs = Math.min(longestTurnMs, Math.max(turnMs, this.#readMs))
    this.#readMs = 0
    let started = 0
    // By the clock for handlers that run at once, by their cost for those behind a promise.
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
    const { request } = queue.shift()!
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
