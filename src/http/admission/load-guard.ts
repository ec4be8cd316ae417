import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type {
  AdmissionSource,
  AdmissionStats,
  Priority,
  ShedCount,
  ShedReason,
} from '../../monitor/admission/admission.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import { describeValue } from '../../shared/arguments.ts'
import { messageOf } from '../../shared/errors.ts'
import { watchRejection } from '../../shared/rejections.ts'
import { enteredScope } from '../../shared/scope/work.ts'
import { type MeasuredRequest, type MeasuredRequests, measuredRequestsOf } from '../measure-request.ts'
import { isDestroyed } from '../node-response/pending-end.ts'
import { ConcurrencyLimit } from './concurrency-limit.ts'
import { type LoopClocks, measuresIdleTime, nodeLoopClocks } from './loop-clocks.ts'
import { retryAfterOf } from './refusal.ts'
import { RequestClasses } from './request-classes.ts'
import { resolveShedOptions, type ShedOptions, type ShedSettings } from './shed-options.ts'
import { type QueuedRequest, type Rank, TurnQueue } from './turn-queue.ts'

type GuardedMonitor = Pick<PerformanceMonitor, 'addAdmission' | 'ignores' | 'warn'>

/** A request at the entrance, and how its framework goes on. */
export interface Arrival<Original> {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The framework's own request, for the option `priority`. */
  readonly original: Original
  /** Runs the rest of the application. */
  readonly run: () => void
  /** Turns the request away, with this `Retry-After`. */
  readonly refuse: (retryAfterSeconds: number) => void
  /** Called when the client has left. */
  readonly drop: () => void
}

const ranks: Readonly<Record<Priority, Rank>> = { critical: 0, normal: 1, low: 2 }

/** The handlers of `monitorRequests` and `performanceRoutes`, which may stand before a guard. */
const mayPrecedeGuard = new WeakSet<object>()

export function markMayPrecedeGuard<Handler extends object>(handler: Handler): Handler {
  mayPrecedeGuard.add(handler)
  return handler
}

/** The state stays `shedding` for so long after a refusal. */
const shedAfterglowMs = 1_000
/** A longer pause between refusals ends a time of shedding. */
const pauseMs = 5_000
/** How many of the latest requests the share of refusals is about. */
const recentRequests = 128

/**
 * Decides at the entrance of an application which requests are served, and when. It has two independent parts: {@link TurnQueue}
 * is for an event loop that is full, {@link ConcurrencyLimit} for something behind it that is slow.
 */
export class LoadGuard<Original> implements AdmissionSource {
  readonly #monitor: GuardedMonitor
  readonly #measured: MeasuredRequests
  readonly #settings: ShedSettings<Original>
  readonly #clocks: LoopClocks
  readonly #queue: TurnQueue
  readonly #classes: RequestClasses | undefined
  readonly #limit: ConcurrencyLimit
  readonly #servers = new WeakSet<object>()
  readonly #shedBy = new Map<string, ShedCount>()
  /** The request that {@link admits} did not let in, for {@link hold}. */
  #atEntrance: { readonly measured: MeasuredRequest; readonly limit: ConcurrencyLimit } | undefined
  #recentShedRatio = 0
  #shedAt = -Infinity
  #sheddingSince = 0

  /** @throws TypeError or RangeError when an option is invalid; TypeError without `monitorRequests` */
  constructor(monitor: GuardedMonitor, options: ShedOptions<Original>, clocks: LoopClocks = nodeLoopClocks()) {
    this.#settings = resolveShedOptions(options)
    const measured = measuredRequestsOf(monitor)
    if (measured === undefined) {
      throw new TypeError('`shedLoad` needs `monitorRequests` of the same monitor, which must be used before it')
    }
    if (!measuresIdleTime()) {
      monitor.warn({
        code: 'SHED_LOAD_RUNTIME',
        message: '`shedLoad` cannot see on this runtime whether the event loop is full: only `concurrency` acts',
      })
    }
    this.#measured = measured
    this.#monitor = monitor
    this.#clocks = clocks
    this.#queue = new TurnQueue(clocks, this.#settings.maxWaitMs)
    const { concurrency } = this.#settings
    // A full loop slows down every request: this part of a latency is not due to the dependency.
    const loopMs = () => 10 + 6 * this.#queue.turnCostMs
    const clock = { now: clocks.now, loopMs, onLeave: () => this.#queue.countEnd() }
    this.#classes = concurrency === 'auto' ? new RequestClasses(clock) : undefined
    this.#limit = new ConcurrencyLimit('all requests', clock, typeof concurrency === 'number' ? concurrency : Infinity)
    monitor.addAdmission(this)
  }

  /**
   * Whether the request may run at once, which the adapter then does. Otherwise the adapter calls {@link hold}, unless the
   * monitor's own routes answer the request. Every request pays for this: it allocates nothing.
   */
  admits(method: string, url: string, response: ServerResponse): boolean {
    let measured = this.#measured.latest
    if (measured?.response !== response) {
      measured = this.#findMeasured(method, url, response)
      if (measured === undefined) return true
    }
    // The client left while something between `monitorRequests` and this waited. The request would count as in flight for
    // ever.
    if (measured.hasEnded) return true
    const limit = this.#classes === undefined ? this.#limit : this.#classes.find(method, url)
    // This guard is used twice.
    if (measured.limit === limit) return true
    if (!this.#queue.isFreeNow() || limit.isFull) {
      this.#atEntrance = { measured, limit }
      return false
    }
    if (this.#recentShedRatio > 0) this.#noteRecent(0)
    this.#queue.countStart()
    this.#enter(measured, limit)
    return true
  }

  /** Queues or refuses a request right after {@link admits} did not let it in. */
  hold(arrival: Arrival<Original>): void {
    const { request, response, run } = arrival
    const { measured, limit } = this.#atEntrance!
    this.#atEntrance = undefined
    const priority = this.#priorityOf(arrival.original)
    const rank = ranks[priority]
    const rejectable = (reason: ShedReason) => ({
      refuse: () => this.#refuse(measured, reason, priority, arrival),
      drop: arrival.drop,
      isGone: () => isDestroyed(response) || response.closed === true,
    })
    if (rank > 0 && limit.isFull) {
      this.#queue.turnAway(rejectable('concurrency'))
      return
    }
    if (this.#queue.isFreeNow()) {
      this.#queue.countStart()
      this.#enter(measured, limit)
      run()
      return
    }
    this.#watchConnections(request)
    const inContext = AsyncLocalStorage.snapshot()
    const scope = enteredScope()?.request
    const queued: QueuedRequest = {
      ...rejectable('wait'),
      rank,
      isOverdue: () => rank > 0 && scope?.isAbandoned === true,
      start: () => {
        if (this.#recentShedRatio > 0) this.#noteRecent(0)
        this.#enter(measured, limit)
        inContext(run)
      },
      onTaken: () => {
        limit.waiting--
      },
    }
    if (this.#queue.add(queued)) limit.waiting++
    else this.#queue.turnAway(queued)
  }

  read(): AdmissionStats {
    const all = this.#classes === undefined ? [this.#limit] : [...this.#classes.all()]
    const limited = all.filter(({ limit }) => limit < Infinity)
    const shedBy = [...this.#shedBy.values()]
    return {
      limit: limited.length === 0 ? null : limited.reduce((sum, { limit }) => sum + limit, 0),
      inFlight: all.reduce((sum, { inFlight }) => sum + inFlight, 0),
      shed: shedBy.reduce((sum, { count }) => sum + count, 0),
      waitMs: this.#queue.expectedWaitMs,
      state: this.#queue.isOverloaded || this.#sinceShedMs < shedAfterglowMs ? 'shedding' : 'open',
      limits: limited.map(({ target, limit, inFlight }) => ({ target, limit, inFlight })),
      shedBy,
    }
  }

  get shedRatio(): number {
    return this.#sinceShedMs < pauseMs ? this.#recentShedRatio : 0
  }

  get sheddingMs(): number | undefined {
    return this.#sinceShedMs < pauseMs ? this.#clocks.now() - this.#sheddingSince : undefined
  }

  get #sinceShedMs(): number {
    return this.#clocks.now() - this.#shedAt
  }

  #enter(measured: MeasuredRequest, limit: ConcurrencyLimit): void {
    const { limit: outer, admittedAt } = measured
    // Another guard of this monitor has let the request in: it must be told of the end too.
    measured.limit =
      outer === undefined
        ? limit
        : {
            leave(enteredAt, outcome) {
              outer.leave(admittedAt, outcome)
              limit.leave(enteredAt, outcome)
            },
          }
    measured.admittedAt = limit.enter(this.#queue.now)
  }

  #refuse(measured: MeasuredRequest, reason: ShedReason, priority: Priority, { refuse }: Arrival<Original>): void {
    const key = `${reason} ${priority}`
    const { count = 0 } = this.#shedBy.get(key) ?? {}
    this.#shedBy.set(key, { reason, priority: priority as ShedCount['priority'], count: count + 1 })
    this.#noteRecent(1)
    if (this.#sinceShedMs >= pauseMs) this.#sheddingSince = this.#clocks.now()
    this.#shedAt = this.#clocks.now()
    measured.isShed = true
    refuse(retryAfterOf(this.#settings.retryAfterSeconds, Math.random()))
  }

  #noteRecent(shed: 0 | 1): void {
    this.#recentShedRatio += (shed - this.#recentShedRatio) / recentRequests
    if (this.#recentShedRatio < 1e-4) this.#recentShedRatio = 0
  }

  #priorityOf(original: Original): Priority {
    const { priority } = this.#settings
    if (priority === undefined) return 'normal'
    let problem: string
    try {
      const value = priority(original)
      if (Object.hasOwn(ranks, value)) return value
      watchRejection(value)
      problem = `returned ${describeValue(value)}`
    } catch (error) {
      problem = `threw ${messageOf(error)}`
    }
    this.#monitor.warn({
      code: 'SHED_PRIORITY',
      message: `The option \`priority\` of \`shedLoad\` ${problem}; the request counts as 'normal'`,
    })
    return 'normal'
  }

  /** The measured request, if another came in after it. `undefined` for requests that the monitor does not measure. */
  #findMeasured(method: string, url: string, response: ServerResponse): MeasuredRequest | undefined {
    const measured = this.#measured.byResponse.get(response)
    if (measured === undefined && this.#monitor.ignores(method, url.split('?', 1)[0] as string)) return undefined
    this.#warnOfOrder()
    // From now on `byResponse` holds all requests.
    this.#measured.keepsAll = true
    return measured
  }

  /**
   * Warns when something stands between `monitorRequests` and this.
   *
   * @param before - the handlers in front of this one, as far as they are known
   */
  checkOrder(before: readonly unknown[]): void {
    const first = before.findIndex((handler) => mayPrecedeGuard.has(handler as object))
    if (first !== -1 && !before.slice(first).every((handler) => mayPrecedeGuard.has(handler as object)))
      this.#warnOfOrder()
  }

  #warnOfOrder(): void {
    this.#monitor.warn({
      code: 'SHED_LOAD_ORDER',
      message:
        '`shedLoad` must come right after `monitorRequests` and before all else: what runs before it is not guarded, and how long requests waited is not known',
    })
  }

  /** Node accepts one connection a turn: one that was accepted means that more may wait. */
  #watchConnections({ socket }: IncomingMessage): void {
    const { server } = socket as { server?: { on?(event: 'connection', listener: () => void): void } }
    if (server?.on === undefined || this.#servers.has(server)) return
    this.#servers.add(server)
    server.on('connection', this.#queue.onConnection)
  }
}
