import { AsyncLocalStorage } from 'node:async_hooks'
import { Abandonable } from './abandonable.ts'
import type { Reads } from './reads.ts'
import { enteredScope } from './request-scope.ts'

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
