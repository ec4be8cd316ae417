import { callSitesOf, captureStack, formatCallSite } from './call-site.ts'
import { type Holder, PoolTimeoutError } from './errors.ts'
import type { Tuning } from './pool-tuning.ts'
import { currentScope, type QueryScope } from './query-scope.ts'

/** Holders that a message names. */
const named = 5

/** Somebody who wants a connection, or has one. */
interface Visit {
  readonly scope: QueryScope | undefined
  readonly stack: { readonly stack?: string } | undefined
}

interface Checkout extends Visit {
  readonly since: number
  readonly leakTimer: ReturnType<typeof setTimeout> | undefined
}

/** Who holds which connection of a pool, and who waits. */
export class Checkouts<Connection extends object> {
  readonly #tuning: Tuning
  readonly #held = new Map<Connection, Checkout>()
  waiting = 0
  leaks = 0

  constructor(tuning: Tuning) {
    this.#tuning = tuning
  }

  get size(): number {
    return this.#held.size
  }

  has(connection: Connection): boolean {
    return this.#held.has(connection)
  }

  enter(): Visit {
    this.waiting += 1
    // Five microseconds, and only for those who look for a leak.
    const stack = this.#tuning.leakAfterMs === undefined ? undefined : captureStack()
    return { scope: currentScope(), stack }
  }

  leave(): void {
    this.waiting -= 1
  }

  add(connection: Connection, visit: Visit): void {
    const { leakAfterMs } = this.#tuning
    const leakTimer =
      leakAfterMs === undefined ? undefined : setTimeout(() => this.#leaks(connection), leakAfterMs).unref()
    this.#held.set(connection, { ...visit, since: performance.now(), leakTimer })
  }

  delete(connection: Connection): void {
    clearTimeout(this.#held.get(connection)?.leakTimer)
    this.#held.delete(connection)
  }

  /** To be made in the context of the one who waited. */
  timeoutError(max: number): PoolTimeoutError {
    const holders = [...this.#held.values()].map(holderOf).sort((one, other) => other.heldMs - one.heldMs)
    const list = holders.slice(0, named).map(describeHolder)
    const scope = currentScope()
    const own = scope !== undefined && [...this.#held.values()].some((held) => held.scope === scope)
    const parts = [
      `No connection became free within ${this.#tuning.acquireTimeoutMs} ms: ${holders.length} of ${max} are in use and ${this.waiting} callers wait`,
    ]
    if (list.length > 0) parts.push(`. Held longest: ${list.join('; ')}`)
    if (own)
      parts.push(`. ${scope.name} holds one itself: a query on \`db\` inside a transaction, where \`trx\` was meant?`)
    return new PoolTimeoutError(parts.join(''), holders)
  }

  #leaks(connection: Connection): void {
    const checkout = this.#held.get(connection)
    if (checkout === undefined) return
    this.leaks += 1
    const message = `A connection has not been given back: ${describeHolder(holderOf(checkout))}`
    this.#tuning.onWarn({ code: 'CONNECTION_LEAK', message })
  }
}

function holderOf({ since, scope, stack }: Checkout): Holder {
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
