import { startTimer } from '../../shared/time/timers.ts'
import type { OnWarn } from '../../shared/warnings.ts'
import { callSitesOf, captureStack, formatCallSite } from '../call-site.ts'
import type { QueryScope } from '../n-plus-one/query-scope.ts'
import type { OutsideTransaction } from '../types.ts'

/** How long a wait for a second connection lasts before it is reported. */
const suspiciousMs = 1_000
const maxStrayQueries = 100

/** Finds queries that take a connection of the pool while their scope holds a transaction on another connection. */
export class StrayQueries {
  readonly #onWarn: OnWarn
  readonly #queriesByScopeAndShape = new Map<string, OutsideTransaction>()

  constructor(onWarn: OnWarn) {
    this.#onWarn = onWarn
  }

  /** Records a stray query that got its connection. */
  recordRun(scope: QueryScope, shape: string): void {
    this.#add(scope, shape, 1, captureStack())
  }

  /**
   * Warns when the wait for a second connection lasts suspiciously long. If the database has a single connection, the wait
   * never ends: the query waits for the transaction, and the transaction for the query.
   *
   * @param shape - of the query that waits; `undefined` when only a connection is requested
   */
  watchWait(scope: QueryScope, shape: string | undefined, acquired: Promise<unknown>): void {
    const stack = captureStack()
    const warn = () => {
      if (shape !== undefined) this.#add(scope, shape, 0, stack)
      const { callSite } = callSitesOf(stack)
      const place = callSite === undefined ? '' : ` at ${formatCallSite(callSite)}`
      const message = `${scope.name} holds a transaction and waits for another connection${place}: a query on \`db\` inside a transaction, where \`trx\` was meant?`
      this.#onWarn({ code: 'OUTSIDE_TRANSACTION', message })
    }
    const timer = startTimer(warn, suspiciousMs)
    acquired.then(timer.cancel, timer.cancel)
  }

  list(): OutsideTransaction[] {
    return [...this.#queriesByScopeAndShape.values()]
  }

  #add({ name }: QueryScope, shape: string, runs: number, stack: { readonly stack?: string }): void {
    const key = `${name}\n${shape}`
    const known = this.#queriesByScopeAndShape.get(key)
    if (known === undefined && this.#queriesByScopeAndShape.size >= maxStrayQueries) return
    const { callSite } = known ?? callSitesOf(stack)
    this.#queriesByScopeAndShape.set(key, { shape, count: (known?.count ?? 0) + runs, scope: name, callSite })
  }
}
