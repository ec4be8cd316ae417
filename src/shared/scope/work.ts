import { AsyncLocalStorage } from 'node:async_hooks'
import { Abandonable } from './abandonable.ts'
import type { Reads } from './reads.ts'
import { enteredScope } from './request-scope.ts'

/** What the running code works for, where that is not the request alone. */
interface Work {
  /** Who waits for it. Queries are cancelled when this is abandoned. `undefined`: the request around it. */
  readonly owner: Abandonable | undefined
  /** Collects what it reads. */
  readonly reads: Reads | undefined
}

const workStorage = /* @__PURE__ */ new AsyncLocalStorage<Work>()

let hasAnyWork = false
let isAbandonmentEnabled = false
let areReadsSeen = false

/** Runs the function, with all the asynchronous work that it starts, as work of its own. What is not given stays as it is. */
export function runWork<Result>(work: Partial<Work>, fn: () => Result): Result {
  hasAnyWork = true
  const around = workStorage.getStore()
  return workStorage.run({ owner: work.owner ?? around?.owner, reads: work.reads ?? around?.reads }, fn)
}

/** Stands for what the running code works for: the same object everywhere in one load. */
export function currentWork(): object | undefined {
  return hasAnyWork ? workStorage.getStore() : undefined
}

/** What collects the reads of the running code. */
export function currentReads(): Reads | undefined {
  return hasAnyWork ? workStorage.getStore()?.reads : undefined
}

/** Called by those who report what is read. Where nobody does, work that reads nothing cannot be told from any other. */
export function announceReads(): void {
  areReadsSeen = true
}

export function readsAreSeen(): boolean {
  return areReadsSeen
}

/** Makes queries and loads end with what they work for. Until then nobody pays for it. */
export function enableAbandonment(): void {
  isAbandonmentEnabled = true
}

export function abandonmentIsEnabled(): boolean {
  return isAbandonmentEnabled
}

/** What the running code works for, if that may be abandoned. */
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
