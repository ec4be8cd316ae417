import type { Reads } from '../../shared/scope/reads.ts'
import { currentReads } from '../../shared/scope/work.ts'
import type { QueryScope } from '../n-plus-one/query-scope.ts'
import type { TransactionControl } from './transaction-control.ts'

/** The runs of a query that is watched for repetition. */
interface RepeatedRuns {
  forgetRuns(runs: number): void
}

/** The open transaction of one connection, with the tables it has changed so far. */
export class TransactionState {
  readonly #owner: object
  #isOpen = false
  #isSavepoint = false
  #mayHaveEnded = false
  #scope: QueryScope | undefined
  #reads: Reads | undefined
  #changedTables: string[] = []
  readonly #runsByRepeated = new Map<RepeatedRuns, number>()
  #savepoints: { readonly name: string; readonly changedTables: number }[] = []

  /** @param owner - the instrumentation of the connection's `Kysely`; scopes count their transactions by it */
  constructor(owner: object) {
    this.#owner = owner
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /**
   * Whether a statement has failed, and the database may have ended the transaction because of it. Then later writes may
   * be committed at once.
   */
  get mayHaveEnded(): boolean {
    return this.#mayHaveEnded
  }

  /** The reads that were being collected when the transaction began. */
  get reads(): Reads | undefined {
    return this.#reads
  }

  /** The tables that were changed so far. */
  get changedTables(): readonly string[] {
    return this.#changedTables
  }

  /**
   * @param isSavepoint - whether a savepoint begins the transaction, as on SQLite: then releasing that savepoint commits
   *   it
   */
  begin(scope: QueryScope | undefined, isSavepoint = false): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#isSavepoint = isSavepoint
    this.#scope = scope
    this.#reads = currentReads()
    scope?.countTransaction(this.#owner, 1)
  }

  /** Counts a run of a query that is watched for repetition. */
  addRun(repeated: RepeatedRuns): void {
    this.#runsByRepeated.set(repeated, (this.#runsByRepeated.get(repeated) ?? 0) + 1)
  }

  /** Ends the transaction without effect. Its queries are not counted as repeated, because the caller may run it again. */
  rollback(): void {
    for (const [repeated, runs] of this.#runsByRepeated) repeated.forgetRuns(runs)
    this.end()
  }

  recordFailure(): void {
    this.#mayHaveEnded = true
  }

  addChangedTables(tables: readonly string[]): void {
    this.#changedTables.push(...tables)
  }

  /** Whether the statement is a COMMIT, or releases the savepoint that began the transaction. */
  isCommittedBy({ kind, name }: TransactionControl): boolean {
    const isRelease = kind === 'release' && this.#isOpen && this.#isSavepoint
    return kind === 'commit' || (isRelease && this.#indexOf(name) === 0)
  }

  /** Keeps track of savepoints: rolling back to one drops the tables that were changed after it. */
  followSavepoint({ kind, name }: TransactionControl): void {
    if (kind === 'savepoint') {
      this.#savepoints.push({ name: name.toLowerCase(), changedTables: this.#changedTables.length })
      return
    }
    const index = this.#indexOf(name)
    const savepoint = this.#savepoints[index]
    if (savepoint === undefined) return
    if (kind === 'rollback to') this.#changedTables.length = savepoint.changedTables
    // ROLLBACK TO keeps the savepoint, RELEASE destroys it; both destroy the later ones.
    this.#savepoints.length = kind === 'rollback to' ? index + 1 : index
  }

  /** If names differ only in case, takes the last one: then too many tables are invalidated rather than too few. */
  #indexOf(name: string): number {
    return this.#savepoints.findLastIndex((savepoint) => savepoint.name === name.toLowerCase())
  }

  /** Ends the transaction and returns the tables that it changed, each once. */
  end(): readonly string[] {
    const changed = [...new Set(this.#changedTables)]
    this.#changedTables = []
    this.#savepoints = []
    this.#runsByRepeated.clear()
    if (!this.#isOpen) return changed
    this.#isOpen = false
    this.#mayHaveEnded = false
    this.#scope?.countTransaction(this.#owner, -1)
    this.#scope = undefined
    this.#reads = undefined
    return changed
  }
}
