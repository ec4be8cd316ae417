import { callSitesOf, captureStack, formatCallSite } from './call-site.ts'
import type { ConnectionControl } from './connection-control.ts'
import { type Holder, PoolTimeoutError } from './errors.ts'
import type { Tuning } from './pool-tuning.ts'
import { currentScope, lookForScopes, type QueryScope } from './query-scope.ts'

/** Holders that a message names. */
const named = 5

/** Whoever asked for a connection. */
export interface Caller<Connection> {
  resolve(connection: Connection): void
  reject(error: unknown): void
  receive: ((control: ConnectionControl) => void) | undefined
}

/** Somebody who wants a connection, or has one. */
export interface Visit<Connection> {
  readonly caller: Caller<Connection>
  readonly scope: QueryScope | undefined
  readonly stack: { readonly stack?: string } | undefined
  readonly deadline: number
  isWaiting: boolean
  /** When it got the connection. */
  since: number
  leakTimer: ReturnType<typeof setTimeout> | undefined
}

/** Who holds which connection of a pool, and who waits. */
export class Checkouts<Connection extends object> {
  readonly #tuning: Tuning
  readonly #max: () => number
  readonly #held = new Map<Connection, Visit<Connection>>()
  readonly #waiting = new Set<Visit<Connection>>()
  #timer: ReturnType<typeof setTimeout> | undefined
  acquired = 0
  timeouts = 0
  leaks = 0

  /** @param max - how many connections there may be */
  constructor(tuning: Tuning, max: () => number) {
    lookForScopes()
    this.#tuning = tuning
    this.#max = max
  }

  get size(): number {
    return this.#held.size
  }

  get waiting(): number {
    return this.#waiting.size
  }

  has(connection: Connection): boolean {
    return this.#held.has(connection)
  }

  /** Somebody begins to wait, and gives up when time is over. */
  enter(caller: Caller<Connection>): Visit<Connection> {
    const { acquireTimeoutMs, leakAfterMs } = this.#tuning
    const visit: Visit<Connection> = {
      caller,
      scope: currentScope(),
      // Five microseconds, and only for those who look for a leak.
      stack: leakAfterMs === undefined ? undefined : captureStack(),
      deadline: performance.now() + acquireTimeoutMs,
      isWaiting: true,
      since: 0,
      leakTimer: undefined,
    }
    this.#waiting.add(visit)
    // One for all: a timer of its own would cost each visit more than the rest of it.
    this.#timer ??= setTimeout(this.#expire, acquireTimeoutMs).unref()
    return visit
  }

  leave(visit: Visit<Connection>): void {
    visit.isWaiting = false
    this.#waiting.delete(visit)
  }

  lend(connection: Connection, visit: Visit<Connection>): void {
    this.leave(visit)
    this.acquired += 1
    visit.since = performance.now()
    this.#held.set(connection, visit)
    const { leakAfterMs } = this.#tuning
    if (leakAfterMs !== undefined) visit.leakTimer = setTimeout(() => this.#leaks(visit), leakAfterMs).unref()
  }

  return(connection: Connection): void {
    clearTimeout(this.#held.get(connection)?.leakTimer)
    this.#held.delete(connection)
  }

  readonly #expire = (): void => {
    this.#timer = undefined
    // All wait equally long, so time is up for the first of them first.
    for (const visit of this.#waiting) {
      const restMs = visit.deadline - performance.now()
      if (restMs > 0) {
        this.#timer = setTimeout(this.#expire, restMs).unref()
        return
      }
      const error = this.#timeoutError(visit)
      this.leave(visit)
      this.timeouts += 1
      visit.caller.reject(error)
    }
  }

  #timeoutError({ scope }: Visit<Connection>): PoolTimeoutError {
    const held = [...this.#held.values()]
    const holders = held.map(holderOf).sort((one, other) => other.heldMs - one.heldMs)
    const list = holders.slice(0, named).map(describeHolder)
    const parts = [
      `No connection became free within ${this.#tuning.acquireTimeoutMs} ms: ${holders.length} of ${this.#max()} are in use and ${this.waiting} callers wait`,
    ]
    if (list.length > 0) parts.push(`. Held longest: ${list.join('; ')}`)
    if (scope !== undefined && held.some((visit) => visit.scope === scope))
      parts.push(`. ${scope.name} holds one itself: a query on \`db\` inside a transaction, where \`trx\` was meant?`)
    return new PoolTimeoutError(parts.join(''), holders)
  }

  #leaks(visit: Visit<Connection>): void {
    this.leaks += 1
    const message = `A connection has not been given back: ${describeHolder(holderOf(visit))}`
    this.#tuning.onWarn({ code: 'CONNECTION_LEAK', message })
  }
}

function holderOf({ since, scope, stack }: Visit<never>): Holder {
  const site = stack === undefined ? undefined : callSitesOf(stack).callSite
  return {
    heldMs: performance.now() - since,
    ...(scope === undefined ? {} : { scope: scope.name }),
    ...(site === undefined ? {} : { callSite: formatCallSite(site) }),
  }
}

function describeHolder({ heldMs, scope, callSite }: Holder): string {
  const who = [scope ?? 'somebody', callSite === undefined ? '' : ` at ${callSite}`].join('')
  return `${who} for ${(heldMs / 1_000).toFixed(1)} s`
}
