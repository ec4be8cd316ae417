import type { OnWarn } from '../shared/warnings.ts'
import { callSitesOf, captureStack, formatCallSite } from './call-site.ts'
import type { QueryScope } from './query-scope.ts'
import type { OutsideTransaction } from './types.ts'

/** How long a wait that may never end lasts before it is told. */
const suspiciousMs = 1_000
const maxKept = 100

/** Finds queries that want a connection of their own while their scope holds a transaction. */
export class OutsideTransactions {
  readonly #onWarn: OnWarn
  readonly #found = new Map<string, OutsideTransaction>()

  constructor(onWarn: OnWarn) {
    this.#onWarn = onWarn
  }

  /** Such a query got its connection. */
  ran(scope: QueryScope, shape: string): void {
    this.#add(scope, shape, 1, captureStack())
  }

  /**
   * Somebody waits for a second connection. With a single one this lasts for ever, as does the transaction that waits for
   * the query; so it is told when it has lasted a while.
   *
   * @param shape - of the query that waits, if it is one
   */
  waits(scope: QueryScope, shape: string | undefined, acquired: Promise<unknown>): void {
    const stack = captureStack()
    const tell = () => {
      if (shape !== undefined) this.#add(scope, shape, 0, stack)
      const { callSite } = callSitesOf(stack)
      const place = callSite === undefined ? '' : ` at ${formatCallSite(callSite)}`
      const message = `${scope.name} holds a transaction and waits for another connection${place}: a query on \`db\` inside a transaction, where \`trx\` was meant?`
      this.#onWarn({ code: 'OUTSIDE_TRANSACTION', message })
    }
    const timer = setTimeout(tell, suspiciousMs).unref()
    const end = () => clearTimeout(timer)
    acquired.then(end, end)
  }

  list(): OutsideTransaction[] {
    return [...this.#found.values()]
  }

  #add({ name }: QueryScope, shape: string, runs: number, stack: { readonly stack?: string }): void {
    const key = `${name}\n${shape}`
    const known = this.#found.get(key)
    if (known === undefined && this.#found.size >= maxKept) return
    const { callSite } = known ?? callSitesOf(stack)
    this.#found.set(key, { shape, count: (known?.count ?? 0) + runs, scope: name, callSite })
  }
}
