import { enableScopes } from '../../shared/scope/work.ts'
import { startTimer, type Timer } from '../../shared/time/timers.ts'
import { callSitesOf, captureStack, formatCallSite } from '../call-site.ts'
import type { ConnectionControl } from '../cancel/connection-control.ts'
import { type Holder, PoolTimeoutError } from '../errors.ts'
import { currentScope, type QueryScope } from '../n-plus-one/query-scope.ts'
import { PoolDemand } from './pool-demand.ts'
import type { ParsedTuning } from './pool-tuning.ts'

/** How many holders the message of a timeout names. */
const maxNamedHolders = 5

/** The caller that requested a connection. */
interface Caller<Connection> {
  resolve(connection: Connection): void
  reject(error: unknown): void
  readonly onControl: ((control: ConnectionControl) => void) | undefined
}

/** One caller's use of a connection, from its request until the connection comes back. */
export interface Checkout<Connection> {
  readonly caller: Caller<Connection>
  readonly scope: QueryScope | undefined
  readonly stack: { readonly stack?: string } | undefined
  readonly askedAt: number
  readonly deadline: number
  isWaiting: boolean
  /** When the caller got the connection. */
  heldSince: number
  leakTimer: Timer | undefined
}

/** Tracks who holds each connection of a pool, and who waits for one. */
export class Checkouts<Connection extends object> {
  readonly #tuning: ParsedTuning
  readonly #maxConnections: () => number
  readonly #heldByConnection = new Map<Connection, Checkout<Connection>>()
  readonly #waiting = new Set<Checkout<Connection>>()
  readonly demand: PoolDemand = new PoolDemand()
  #isExpiryScheduled = false
  acquired = 0
  timeouts = 0
  leaks = 0

  constructor(tuning: ParsedTuning, maxConnections: () => number) {
    enableScopes()
    this.#tuning = tuning
    this.#maxConnections = maxConnections
  }

  get inUse(): number {
    return this.#heldByConnection.size
  }

  get waiting(): number {
    return this.#waiting.size
  }

  allWaiting(): Checkout<Connection>[] {
    return [...this.#waiting]
  }

  isHeld(connection: Connection): boolean {
    return this.#heldByConnection.has(connection)
  }

  /** Makes a caller wait, and rejects its request after `acquireTimeout`. */
  startWaiting(caller: Caller<Connection>): Checkout<Connection> {
    const { acquireTimeoutMs, leakAfterMs } = this.#tuning
    const now = performance.now()
    const checkout: Checkout<Connection> = {
      caller,
      scope: currentScope(),
      // A stack costs five microseconds, so it is captured only for users who look for a leak.
      stack: leakAfterMs === undefined ? undefined : captureStack(),
      askedAt: now,
      deadline: now + acquireTimeoutMs,
      isWaiting: true,
      heldSince: 0,
      leakTimer: undefined,
    }
    this.demand.recordRequest(now)
    this.#waiting.add(checkout)
    // All callers share one timer: a timer for each would cost more than the rest of the checkout.
    if (!this.#isExpiryScheduled) this.#scheduleExpiry(acquireTimeoutMs)
    return checkout
  }

  stopWaiting(checkout: Checkout<Connection>): void {
    checkout.isWaiting = false
    this.#waiting.delete(checkout)
  }

  checkOut(connection: Connection, checkout: Checkout<Connection>): void {
    this.stopWaiting(checkout)
    this.acquired += 1
    checkout.heldSince = performance.now()
    this.demand.recordWait(checkout.heldSince, checkout.heldSince - checkout.askedAt)
    this.#heldByConnection.set(connection, checkout)
    const { leakAfterMs } = this.#tuning
    if (leakAfterMs !== undefined) checkout.leakTimer = startTimer(() => this.#warnOfLeak(checkout), leakAfterMs)
  }

  checkIn(connection: Connection): void {
    const checkout = this.#heldByConnection.get(connection)
    if (checkout === undefined) return
    const now = performance.now()
    this.demand.recordHold(now, now - checkout.heldSince)
    checkout.leakTimer?.cancel()
    this.#heldByConnection.delete(connection)
  }

  #scheduleExpiry(delayMs: number): void {
    this.#isExpiryScheduled = true
    startTimer(this.#expire, delayMs)
  }

  readonly #expire = (): void => {
    this.#isExpiryScheduled = false
    // All callers wait equally long, so the first one expires first.
    for (const checkout of this.#waiting) {
      const restMs = checkout.deadline - performance.now()
      if (restMs > 0) {
        this.#scheduleExpiry(restMs)
        return
      }
      const error = this.#timeoutError(checkout)
      this.stopWaiting(checkout)
      this.timeouts += 1
      this.demand.recordWait(checkout.deadline, checkout.deadline - checkout.askedAt)
      checkout.caller.reject(error)
    }
  }

  #timeoutError({ scope }: Checkout<Connection>): PoolTimeoutError {
    const held = [...this.#heldByConnection.values()]
    const holders = held.map(holderOf).sort((one, other) => other.heldMs - one.heldMs)
    const list = holders.slice(0, maxNamedHolders).map(holderText)
    const sentences = [
      `No connection became free within ${this.#tuning.acquireTimeoutMs} ms: ${holders.length} of ${this.#maxConnections()} are in use and ${this.waiting} callers wait`,
    ]
    if (list.length > 0) sentences.push(`Held longest: ${list.join('; ')}`)
    if (scope !== undefined && held.some((checkout) => checkout.scope === scope))
      sentences.push(`${scope.name} holds one itself: a query on \`db\` inside a transaction, where \`trx\` was meant?`)
    return new PoolTimeoutError(sentences.join('. '), holders)
  }

  #warnOfLeak(checkout: Checkout<Connection>): void {
    this.leaks += 1
    const message = `A connection has not been given back: ${holderText(holderOf(checkout))}`
    this.#tuning.onWarn({ code: 'CONNECTION_LEAK', message })
  }
}

function holderOf({ heldSince, scope, stack }: Checkout<never>): Holder {
  const site = stack === undefined ? undefined : callSitesOf(stack).callSite
  return {
    heldMs: performance.now() - heldSince,
    ...(scope === undefined ? {} : { scope: scope.name }),
    ...(site === undefined ? {} : { callSite: formatCallSite(site) }),
  }
}

function holderText({ heldMs, scope, callSite }: Holder): string {
  const who = [scope ?? 'somebody', callSite === undefined ? '' : ` at ${callSite}`].join('')
  return `${who} for ${(heldMs / 1_000).toFixed(1)} s`
}
