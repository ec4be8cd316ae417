import type { QueryScope } from './query-scope.ts'
import type { TransactionControl } from './transaction-control.ts'

/** The open transaction of one connection: whose it is, and which tables it has changed so far. */
export class TransactionState {
  readonly #owner: object
  #open = false
  #scope: QueryScope | undefined
  #changed: string[] = []
  #savepoints: { readonly name: string; readonly changed: number }[] = []

  /** @param owner - the instrumentation of the connection's pool; scopes count their transactions by it */
  constructor(owner: object) {
    this.#owner = owner
  }

  get open(): boolean {
    return this.#open
  }

  begin(scope: QueryScope | undefined): void {
    if (this.#open) return
    this.#open = true
    this.#scope = scope
    scope?.countTransaction(this.#owner, 1)
  }

  /** Notes tables that a write changed, to be told after COMMIT. */
  change(tables: readonly string[]): void {
    this.#changed.push(...tables)
  }

  /** Follows savepoints: rolling back to one forgets what was changed since. */
  move({ kind, name }: TransactionControl): void {
    if (kind === 'savepoint') {
      this.#savepoints.push({ name, changed: this.#changed.length })
      return
    }
    const index = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name)
    const savepoint = this.#savepoints[index]
    if (savepoint === undefined) return
    if (kind === 'rollback to') this.#changed.length = savepoint.changed
    // ROLLBACK TO keeps the savepoint, RELEASE destroys it; both destroy those after it.
    this.#savepoints.length = kind === 'rollback to' ? index + 1 : index
  }

  /** Ends the transaction and gives the tables it changed, each once. */
  end(): readonly string[] {
    const changed = [...new Set(this.#changed)]
    this.#changed = []
    this.#savepoints = []
    if (!this.#open) return changed
    this.#open = false
    this.#scope?.countTransaction(this.#owner, -1)
    this.#scope = undefined
    return changed
  }
}
