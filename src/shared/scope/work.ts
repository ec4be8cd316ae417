import { AsyncLocalStorage } from 'node:async_hooks'
// The global `performance` is a getter. Calling it takes a quarter of the time of reading the clock.
import { performance } from 'node:perf_hooks'
import { Abandonable } from './abandonable.ts'
import type { Reads } from './reads.ts'
import type { OpenRequestScope, RequestScope } from './request-scope.ts'
import { watchUpstream } from './upstream.ts'
import type { Wait } from './wait-names.ts'
import { holdLoop } from './waits.ts'

/** A scope within a request, such as that of `withQueryScope`. */
export interface ScopeOfRequest {
  readonly request: OpenRequestScope
}

const scopeStorage = /* @__PURE__ */ new AsyncLocalStorage<ScopeOfRequest>()

let hasAnyScope = false
let areScopesEnabled = false

/** The scope around the running code. Its class depends on who has entered it. */
export function enteredScope(): ScopeOfRequest | undefined {
  // This runs for every query, so a program without scopes must not pay for the lookup.
  return hasAnyScope ? scopeStorage.getStore() : undefined
}

export function runInEnteredScope<Result>(scope: ScopeOfRequest, fn: () => Result): Result {
  hasAnyScope = true
  return scopeStorage.run(scope, fn)
}

/** Makes adapters open a scope for each request. Before this call, requests do not pay for scopes. */
export function enableScopes(): void {
  if (areScopesEnabled) return
  areScopesEnabled = true
  watchUpstream(() => enteredScope()?.request.waits)
}

/** Whether adapters open a scope for each request. */
export function scopesAreEnabled(): boolean {
  return areScopesEnabled
}

/**
 * The scope of the request that the running code belongs to, or of the job around it (`withQueryScope`).
 *
 * @returns `undefined` outside of both. Requests have a scope while something reads it: an instrumented `Kysely`, a tuned
 *   pool, `deadline`, `serverTiming`, or an earlier call of this function.
 *
 * @example
 * ```ts
 * const response = await fetch(url, { signal: requestScope()?.signal ?? null })
 * ```
 */
export function requestScope(): RequestScope | undefined {
  const scope = enteredScope()?.request
  if (scope === undefined) enableScopes()
  return scope
}

/**
 * Whether the handler that runs may have been stopped, because its deadline has passed or its client has left. It then gives an
 * error, or less than its answer.
 */
export function mayBeStopped(hasError = false): boolean {
  const scope = enteredScope()?.request
  return scope?.isAbandoned === true && (hasError || scope.hasSignal)
}

/** Counts the time until the promise settles as a wait of the current request. */
export function timeWait<Value>(part: Wait, run: () => Promise<Value>): Promise<Value> {
  const waits = enteredScope()?.request.waits
  if (waits === undefined) return run()
  waits.begin(part, performance.now())
  return run().finally(() => {
    const now = performance.now()
    waits.end(part, now)
    holdLoop(waits, now)
  })
}

/** What the running code works for, if it is not only the request. */
interface Work {
  /** When this is abandoned, the work's queries are cancelled. `undefined` stands for the request around the work. */
  readonly owner: Abandonable | undefined
  /** Collects what the work reads. */
  readonly reads: Reads | undefined
}

const workStorage = /* @__PURE__ */ new AsyncLocalStorage<Work>()

let hasAnyWork = false
let isAbandonmentEnabled = false
let areReadsSeen = false

/**
 * Runs the function, with all the asynchronous work that it starts, as a piece of work. Fields that are not given are
 * inherited.
 */
export function runWork<Result>(work: Partial<Work>, fn: () => Result): Result {
  hasAnyWork = true
  const around = workStorage.getStore()
  return workStorage.run({ owner: work.owner ?? around?.owner, reads: work.reads ?? around?.reads }, fn)
}

/** Identifies what the running code works for: the same object everywhere in one load. */
export function currentWork(): object | undefined {
  return hasAnyWork ? workStorage.getStore() : undefined
}

/** The collector of what the running code reads. */
export function currentReads(): Reads | undefined {
  return hasAnyWork ? workStorage.getStore()?.reads : undefined
}

/** Called by code that reports reads. Without such code, work that reads nothing looks the same as any other work. */
export function announceReads(): void {
  areReadsSeen = true
}

export function readsAreSeen(): boolean {
  return areReadsSeen
}

/** Makes queries and loads end when their work is abandoned. Before this call, that costs nothing. */
export function enableAbandonment(): void {
  isAbandonmentEnabled = true
}

export function abandonmentIsEnabled(): boolean {
  return isAbandonmentEnabled
}

/** The owner of the running code's work; `undefined` if it cannot be abandoned. */
export function currentOwner(): Abandonable | undefined {
  if (!isAbandonmentEnabled) return undefined
  const owner = (hasAnyWork ? workStorage.getStore()?.owner : undefined) ?? enteredScope()?.request
  return owner === nobody ? undefined : owner
}

/** Runs the function as work that goes on when the client of its request leaves. */
export function keepRunning<Result>(fn: () => Result): Result {
  return currentOwner() === undefined ? fn() : runWork({ owner: nobody }, fn)
}

const nobody = /* @__PURE__ */ new Abandonable()
