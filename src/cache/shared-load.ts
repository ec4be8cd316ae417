import { PosthasteError } from '../shared/errors.ts'
import { Abandonable } from '../shared/scope/abandonable.ts'
import { Reads } from '../shared/scope/reads.ts'
import { abandonmentIsEnabled, enteredScope, readsAreSeen, runWork } from '../shared/scope/work.ts'
import { type Duration, parseDuration } from '../shared/time/duration.ts'
import { untilAborted } from '../shared/time/waiting.ts'
import { type Call, expectTags } from './call-options.ts'
import type { Sequence, Start } from './memory/invalidation-log.ts'
import type { MemoryEntry } from './memory/memory-tier.ts'
import type { FairDeadline } from './store/limits.ts'
import type { LoadContext } from './types.ts'

/** `ERR_LOAD_TIMEOUT`: a `load` function took longer than `timeouts.loadHard`. */
export class LoadTimeoutError extends PosthasteError {
  readonly code = 'ERR_LOAD_TIMEOUT'
}

/** A `load` of many returned no value for one of the keys. */
export class NoValueError extends Error {
  /** The sequence at which the load began. */
  readonly sequence: Sequence

  constructor(sequence: Sequence = 0) {
    super('`load` returned no value for a key')
    this.sequence = sequence
  }
}

/** A value, with what is needed to decide whether a caller may have it. */
export interface Answer {
  readonly value: unknown
  /** The sequence at which the value's read or load began. */
  readonly sequence: Sequence
  readonly tags: Iterable<string>
  /** What the value depends on, for a load with `tags: 'auto'`. */
  readonly reads?: Pick<Reads, 'unknown' | 'memoryStamp' | 'isUncommitted'> | undefined
  /** Whether it is, or was made from, a value that was invalidated with `serveStale`. */
  readonly isInvalidated?: boolean | undefined
}

/** A value that `load` returned, with what it requested through its context. */
export interface Loaded {
  readonly value: unknown
  readonly ttlMs: number | undefined
  readonly isSkipped: boolean
  readonly costMs: number
}

/** What a load must know of a caller that waits for it. */
type Waiting = Pick<Call, 'signal' | 'owner' | 'isFresh'>

/**
 * One read and load of one key, shared by all callers in this process that ask meanwhile. It may answer before it ends: with
 * a stale value, while it loads the new one.
 */
export class SharedLoad implements Start {
  /** Whether it calls `load` even if the store has a fresh value. */
  readonly isFresh: boolean
  /** The entry that it renews, if that can still be served. */
  readonly served: MemoryEntry | undefined
  /** The loaded value. If the load is fresh, only callers that ask for a fresh value wait for this promise. */
  readonly answer: Promise<Answer>
  /** Whether a later load of the same key has begun, whose value is stored instead. */
  isSuperseded = false
  /** Whether it was aborted because all callers had stopped waiting. */
  isLeft = false
  /** What it answers with before it ends, or if it fails. */
  stale: MemoryEntry | undefined
  /** Resolves when it has ended. */
  ended: Promise<void> = Promise.resolve()
  sequence: Sequence
  startedAt: number
  readonly #fresh = Promise.withResolvers<Answer>()
  /** The answer for all other callers, which may be a stale value. */
  readonly #usual: PromiseWithResolvers<Answer>
  readonly #named: readonly string[]
  #tags: Set<string> | undefined
  #waiters = 0
  #owner: Abandonable | undefined
  /** The request that began the load, and the signal of its call. */
  readonly #request = enteredScope()?.request
  readonly #signal: AbortSignal | undefined
  /** What the load has read, for `tags: 'auto'`. */
  readonly reads: Reads | undefined

  /** @param cache - the `cacheIdentity` of the cache */
  constructor(
    { tags, isAutomatic, isFresh, reads, signal }: Call,
    served: MemoryEntry | undefined,
    start: Start,
    cache: object,
  ) {
    this.isFresh = isFresh
    this.#signal = signal
    this.served = served
    this.#named = tags
    this.reads = isAutomatic ? new Reads(cache, reads, true) : undefined
    this.sequence = start.sequence
    this.startedAt = start.startedAt
    this.answer = this.#fresh.promise
    this.#usual = isFresh ? Promise.withResolvers<Answer>() : this.#fresh
  }

  /**
   * Moves the beginning to now, so that only later invalidations make the answer outdated. Called before each read, and before
   * a load without a lease.
   */
  restart({ sequence, startedAt }: Start): void {
    this.sequence = sequence
    this.startedAt = startedAt
  }

  resolve(answer: Answer): void {
    this.#fresh.resolve(answer)
    this.#usual.resolve(answer)
  }

  /** Answers callers that do not ask for a fresh value. */
  resolveUsual(answer: Answer): void {
    this.#usual.resolve(answer)
  }

  reject(reason: unknown): void {
    if (this.isFresh && this.stale !== undefined && !(reason instanceof NoValueError)) this.resolveUsual(this.stale)
    for (const { promise, reject } of [this.#fresh, this.#usual]) {
      // When no caller waits, the rejection must not count as unhandled.
      promise.catch(() => {})
      reject(reason)
    }
  }

  /** The tags that callers and the load have named, and with `'auto'` those of what was read so far. */
  get tags(): ReadonlySet<string> {
    if (this.reads !== undefined) this.addTags(this.reads.tags)
    return this.#ownTags
  }

  addTags(tags: Iterable<string>): void {
    for (const tag of tags) this.#ownTags.add(tag)
  }

  /**
   * Whether the load has failed because it uses the signal of the call or of the request that began it, and that was aborted. A
   * caller from elsewhere that still waits must then load for itself.
   */
  wasStopped(error: unknown, { signal, owner }: Waiting): boolean {
    if (signal?.aborted || owner?.isAbandoned) return false
    const request = enteredScope()?.request === this.#request ? undefined : this.#request
    if (request?.isAbandoned !== true && this.#signal?.aborted !== true) return false
    const isAbort = error instanceof Error && error.name === 'AbortError'
    return isAbort || error === this.#signal?.reason || error === request?.reason
  }

  get isAborted(): boolean {
    return this.#owner?.isAbandoned === true
  }

  throwIfAborted(): void {
    if (this.isAborted) throw this.#owner?.reason
  }

  abort(reason: unknown): void {
    this.#ownOwner.abandon(reason)
  }

  /**
   * Waits for the answer. When the last caller has stopped waiting, the load is aborted, unless it is a refresh.
   *
   * @throws the signal's reason when it is aborted first
   */
  wait(call: Waiting, answer: Promise<Answer> = this.#answerFor(call)): Promise<Answer> {
    const { signal, owner } = call
    this.#waiters++
    const ended =
      owner === undefined || signal === undefined
        ? (signal ?? owner?.toSignal())
        : AbortSignal.any([signal, owner.toSignal()])
    return ended === undefined ? answer : this.#waitUntilAborted(answer, ended)
  }

  /** As {@link wait}, but answers only once the load has ended. */
  waitForEnd(call: Waiting): Promise<Answer> {
    return this.wait(
      call,
      this.ended.then(() => this.#answerFor(call)),
    )
  }

  /**
   * Calls `load` and waits for its value.
   *
   * @throws LoadTimeoutError when it takes longer than the deadline, the reason of {@link abort}, or the error of `load`
   */
  async run(load: Call['load'], stale: LoadContext['stale'], deadline: FairDeadline): Promise<Loaded> {
    const { signal } = this.#ownOwner
    const startedAt = performance.now()
    let ttlMs: number | undefined
    let isSkipped = false
    const ctx: LoadContext = {
      signal,
      stale,
      tag: (...tags: string[]) => this.addTags(expectTags(tags)),
      ttl(ttl: Duration) {
        ttlMs = parseDuration(ttl, 'ttl')
      },
      skip() {
        isSkipped = true
      },
    }
    const late = () => new LoadTimeoutError(`\`load\` took longer than \`timeouts.loadHard\`, ${deadline.ms} ms`)
    const work = untilAborted(
      this.#runAsOwner(async () => load(ctx)),
      signal,
    )
    try {
      const value = await deadline.race(work, late)
      return { value, ttlMs, isSkipped, costMs: performance.now() - startedAt }
    } catch (error) {
      if (error instanceof LoadTimeoutError) this.abort(error)
      throw error
    }
  }

  /** Gives the load an owner of its own: it must not end with the request that began it while other callers wait. */
  #runAsOwner<Result>(fn: () => Result): Result {
    const { reads } = this
    const owner = abandonmentIsEnabled() ? this.#ownOwner : undefined
    if (reads !== undefined && !readsAreSeen()) reads.addUnknown('no `Kysely` of this process is instrumented')
    return reads === undefined && owner === undefined ? fn() : runWork({ owner, reads }, fn)
  }

  #answerFor({ isFresh }: Waiting): Promise<Answer> {
    return isFresh ? this.answer : this.#usual.promise
  }

  async #waitUntilAborted(answer: Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    try {
      return await untilAborted(answer, signal)
    } catch (error) {
      this.#waiters--
      if (signal.aborted && this.#waiters === 0 && this.served === undefined) {
        this.isLeft = true
        this.abort(signal.reason)
      }
      throw error
    }
  }

  // The set and the owner are made when they are first needed, because most hits need neither.
  get #ownTags(): Set<string> {
    this.#tags ??= new Set(this.#named)
    return this.#tags
  }

  get #ownOwner(): Abandonable {
    this.#owner ??= new Abandonable()
    return this.#owner
  }
}
