import { performance } from 'node:perf_hooks'
import type { CompiledQuery } from 'kysely'
import { messageOf } from '../../shared/errors.ts'
import { currentOwner } from '../../shared/scope/work.ts'
import { classifyError } from '../classify-error.ts'
import type { Execute } from '../execute.ts'
import type { AutoBatchShape } from '../types.ts'
import type { JoinPlan } from './join-plan.ts'
import { JoiningCosts } from './joining-costs.ts'

/** After this time a refused shape is tried again: its table may have grown, or got an index. */
const refusalMs = 300_000
/** When joining was slower for the first time, it may have been a bad moment, such as the start of the process. */
const firstCostRefusalMs = 15_000
/** A migration may change what was learned. */
const knowledgeMs = 60_000
const maxFailures = 3
const maxProofs = 3

/** All lookups with one SQL text: whether they can be joined, and how that went. */
export class LookupShape {
  readonly text: string
  readonly costs: JoiningCosts = new JoiningCosts()
  queries = 0
  statements = 0
  /** Whether lookups were kept apart because they differ in a value that a joined statement must share. */
  hasKeptApart = false
  /** Whether joined rows need no further proof. */
  isProven: boolean
  readonly #unproven = new Set<string>()
  #proofs = 0
  readonly #plan: JoinPlan | undefined
  #refusal: string | undefined
  #refusedUntil = Infinity
  #costRefusalMs = firstCostRefusalMs
  #learntUntil = 0
  #learning: Promise<boolean> | undefined
  #failures = 0

  /** @param plan - the plan, or why the lookups can never be joined */
  constructor(text: string, plan: JoinPlan | string) {
    this.text = text
    if (typeof plan === 'string') this.#refusal = plan
    else this.#plan = plan
    this.isProven = typeof plan !== 'string' && plan.proof === 'none'
  }

  /** The plan for joining; `undefined` while joining is refused. */
  get plan(): JoinPlan | undefined {
    if (this.#refusal !== undefined && performance.now() >= this.#refusedUntil) {
      this.#refusal = undefined
      this.#refusedUntil = Infinity
      this.#learntUntil = 0
      this.#failures = 0
    }
    return this.#refusal === undefined ? this.#plan : undefined
  }

  /**
   * Learns what the plan needs, or refuses the shape. Several groups wait for one answer.
   *
   * @returns whether the lookups can be joined now
   */
  async learn(execute: Execute, lookups: readonly CompiledQuery[]): Promise<boolean> {
    const learn = this.#plan?.learn
    if (learn === undefined || performance.now() < this.#learntUntil) return true
    this.#learning ??= learn(execute, lookups)
      .then(
        (refusal) => {
          if (refusal !== undefined) this.refuseForNow(refusal)
          this.#learntUntil = performance.now() + knowledgeMs
          return refusal === undefined
        },
        (error) => {
          // A lost connection, a lock, or a client that has left says nothing about the shape, so the next group asks
          // again.
          if (!isLost(error) && !hasWaited(error) && !currentOwner()?.isAbandoned)
            this.refuseForNow(`the database could not prepare it: ${messageOf(error)}`)
          return false
        },
      )
      .finally(() => {
        this.#learning = undefined
      })
    return this.#learning
  }

  /** Records that the separate queries gave the same rows, at least one. */
  addProof(rows: readonly object[]): void {
    this.#proofs += 1
    if (this.#proofs === 1) for (const column of Object.keys(rows[0] as object)) this.#unproven.add(column)
    for (const row of rows) {
      for (const [column, value] of Object.entries(row)) if (value !== null) this.#unproven.delete(column)
    }
    this.isProven = this.#plan?.proof === 'rows' || this.#unproven.size === 0
    if (!this.isProven && this.#proofs >= maxProofs) {
      this.#proofs = 0
      this.refuseForNow(
        `these columns were always NULL, so nothing proves their types: ${[...this.#unproven].join(', ')}`,
      )
    }
  }

  refuseForNow(reason: string, ms: number = refusalMs): void {
    this.#refusal = reason
    this.#refusedUntil = performance.now() + ms
  }

  /** Refuses the shape because joined it is slower than separately; each time for longer. */
  refuseForCosts(): void {
    this.refuseForNow('joined, it takes longer than separately', this.#costRefusalMs)
    this.#costRefusalMs = Math.min(refusalMs, this.#costRefusalMs * 4)
  }

  countJoined(lookups: number): void {
    this.queries += lookups
    this.statements += 1
    this.#failures = 0
  }

  /** Records that the joined statement has failed, and how many of its lookups have failed alone. */
  countFailure(error: unknown, failedAlone: number): void {
    if (isLost(error)) return
    this.#failures += 1
    if (failedAlone === 0) this.refuseForNow(`it fails only when joined: ${messageOf(error)}`)
    else if (this.#failures >= maxFailures) this.refuseForNow(`it has failed ${maxFailures} times: ${messageOf(error)}`)
  }

  snapshot(): AutoBatchShape {
    const { text, queries, statements } = this
    const refused = this.plan === undefined ? this.#refusal : this.hasKeptApart && queries === 0 ? keptApart : undefined
    return { shape: text, queries, statements, ...(refused === undefined ? {} : { refused }) }
  }
}

const keptApart =
  'its lookups differ in a value with which the database may compute before it reads a row: in a LIMIT, a function, a second cast'

function hasWaited(error: unknown): boolean {
  const { kind } = classifyError(error)
  return kind === 'timeout' || kind === 'lock-timeout'
}

function isLost(error: unknown): boolean {
  const { kind } = classifyError(error)
  return kind === 'connection' || kind === 'unavailable'
}
