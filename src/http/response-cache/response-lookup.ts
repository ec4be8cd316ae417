import type { Key } from '../../cache/key.ts'
import type { LoadContext } from '../../cache/types.ts'
import { Abandonable } from '../../shared/scope/abandonable.ts'
import { currentOwner, currentReads, keepRunning, mayBeStopped, runWork } from '../../shared/scope/work.ts'
import type { ContentCoding } from '../compression/codecs.ts'
import { type ResponseCompressor, toBuffer } from '../compression/compressor.ts'
import { answerFrom, type CachedAnswer } from './cached-answer.ts'
import { bypass, type CacheDecision, type HandlerRun, handled, shareFailedAnswer } from './decisions.ts'
import type { HttpCacheSettings, ResponseStore } from './http-cache-options.ts'
import type { RepresentationOf } from './representations.ts'
import { extendKey } from './response-key.ts'
import { bodyFault, type HandlerAnswer, unstorableReason, varyingHeaders } from './rules/answer-rules.ts'
import type { RecentKeys } from './rules/recent-keys.ts'
import type { CachedRequest } from './rules/request-rules.ts'
import { copyExactly, isMadeFor, isStored, type StoredResponse, toStored } from './stored-response.ts'

/** The result of a load whose answer must not be stored. */
interface NotStored {
  readonly reason: string
}

/**
 * The handler answered with a server error. Thrown, it makes the load fail, so that the cache can serve a stale response.
 */
class FailedAnswerError extends Error {
  readonly answer: HandlerAnswer
  readonly varied: StoredResponse['varied']
  constructor(answer: HandlerAnswer, request: CachedRequest) {
    super(`The handler answered with ${answer.status}`)
    this.answer = answer
    this.varied = varyingHeaders(answer).map((name) => [name, request.header(name) ?? null] as const)
  }
}

/** The client left before its handler had answered, or the handler cannot run again. */
class AbandonedError extends Error {}

/** Each variant of a response may name more headers in its `Vary`. A longer chain of variants is a fault of the handler. */
const maxVariations = 4

/** What the requests of a route know of keys. */
interface KnownKeys {
  /** Why the last answer was not stored. */
  readonly unstorable: RecentKeys
  /** Stale responses that the next request renews, because nothing could run the handler in the background. */
  readonly toRenew: RecentKeys
}

/** The settings of a route, with what compresses its responses. */
export interface ServedSettings<Request = unknown> extends HttpCacheSettings<Request> {
  readonly compressor: ResponseCompressor | undefined
  readonly representationOf: RepresentationOf
}

/** The user's tags. The type of their names is not known here. */
interface LookupOptions {
  readonly tags: readonly never[] | 'auto'
}

/** Finds the answer to one request. */
export class ResponseLookup<Request> {
  readonly #cache: ResponseStore
  readonly #settings: ServedSettings<Request>
  readonly #request: CachedRequest<Request>
  readonly #run: HandlerRun
  readonly #keys: KnownKeys
  readonly #startedAt: number
  readonly #options: LookupOptions
  /** The answer of this request's own handler, once it has started. */
  #handlerAnswer: Promise<HandlerAnswer> | undefined
  /** The renewal that this request's own handler runs. */
  #ownRenewal: Promise<StoredResponse | NotStored> | undefined
  #isRenewing = false
  #isDecided = false
  readonly #client = currentOwner()
  /** Lets the handler's work end when the client leaves. */
  #followClient: (() => void) | undefined
  /** Absent too after a run in the background could not renew the response. */
  #inBackground: HandlerRun['inBackground']

  constructor(
    cache: ResponseStore,
    settings: ServedSettings<Request>,
    request: CachedRequest<Request>,
    run: HandlerRun,
    keys: KnownKeys,
  ) {
    this.#cache = cache
    this.#settings = settings
    this.#request = request
    this.#run = run
    this.#inBackground = run.inBackground
    this.#keys = keys
    this.#startedAt = settings.wallClock()
    this.#options = settings.optionsOf(request.original) as LookupOptions
  }

  async decide(base: Key): Promise<CacheDecision> {
    let key = base
    try {
      for (let variation = 0; variation < maxVariations; variation++) {
        const found = await this.#find(key)
        if (found === undefined) return bypass('fwd=miss')
        if ('kind' in found) return found
        if (isMadeFor(found, this.#request)) return await this.#answerFrom(found, key)
        key = extendKey(
          base,
          found.varied.flatMap(([name]) => [name, this.#request.header(name) ?? null]),
        )
      }
      return bypass('fwd=miss; detail=vary')
    } finally {
      this.#isDecided = true
      this.#followClient?.()
    }
  }

  /** Returns the stored response, or a decision when there is no response to use. */
  async #find(key: Key): Promise<StoredResponse | CacheDecision | undefined> {
    let stale: StoredResponse | undefined
    try {
      if (this.#request.method === 'HEAD') return await this.#peek(key)
      const isLeft = this.#keys.toRenew.find(key) !== undefined
      if (isLeft) this.#inBackground = undefined
      let found = await this.#getOrRun(key, false)
      if (this.#ownRenewal !== undefined) {
        if (isLeft) this.#keys.toRenew.delete(key)
        stale = isStored(found) ? found : undefined
        found = await this.#ownRenewal
      } else if (isLeft && this.#handlerAnswer === undefined && isStored(found) && this.#keys.toRenew.delete(key)) {
        stale = found
        found = await this.#getOrRun(key, true)
      } else if (this.#isPastFreshness(found)) {
        if (this.#mayServeStale(found)) this.#renewSoon(key)
        else {
          stale = found
          found = await this.#getOrRun(key, true)
        }
      } else if (!isStored(found) && !isNotStored(found)) {
        // Something else has written to the store.
        await this.#cache.delete(key)
        found = await this.#getOrRun(key, true)
      }
      if (!isNotStored(found)) return found
      this.#keys.unstorable.add(key, found.reason)
      const cacheStatus = `fwd=miss; detail=${found.reason}`
      return this.#handlerAnswer === undefined ? bypass(cacheStatus) : handled(cacheStatus)
    } catch (error) {
      if (stale !== undefined && error instanceof FailedAnswerError && this.#mayServeAfterError(stale)) return stale
      // The request that ran the handler was abandoned: try again, and perhaps run this request's handler.
      if (error instanceof AbandonedError && this.#handlerAnswer === undefined) return this.#find(key)
      return this.#recover(error)
    }
  }

  /** Never runs the handler: an answer to HEAD has no body to store. */
  async #peek(key: Key): Promise<StoredResponse | undefined> {
    const found = await this.#cache.get<StoredResponse>(key)
    return !isStored(found) || this.#isPastFreshness(found) ? undefined : found
  }

  #getOrRun(key: Key, fresh: boolean): Promise<StoredResponse | NotStored> {
    return this.#cache.getOrSet(key, (ctx) => this.#load(key, ctx), fresh ? { ...this.#options, fresh } : this.#options)
  }

  /** Whether the response has outlived its own lifetime, which may be shorter than the profile's. */
  #isPastFreshness(found: StoredResponse | NotStored): found is StoredResponse {
    return isStored(found) && found.freshUntil !== undefined && this.#settings.wallClock() >= found.freshUntil
  }

  #mayServeStale({ staleUntil }: StoredResponse): boolean {
    return staleUntil !== undefined && this.#settings.wallClock() < staleUntil && this.#inBackground !== undefined
  }

  #mayServeAfterError({ freshUntil, staleIfErrorUntil }: StoredResponse): boolean {
    const isAllowed = freshUntil === undefined || this.#inBackground === undefined
    const until = staleIfErrorUntil ?? (isAllowed ? Number.POSITIVE_INFINITY : 0)
    return this.#settings.wallClock() < until
  }

  /** Renews a response that the cache still takes for fresh. */
  #renewSoon(key: Key): void {
    if (this.#isRenewing) return
    this.#isRenewing = true
    this.#getOrRun(key, true).catch(() => {})
  }

  async #load(key: Key, ctx: LoadContext): Promise<StoredResponse | NotStored> {
    const isRenewal = ctx.stale !== undefined || this.#handlerAnswer !== undefined || this.#isRenewing
    if (!isRenewal) {
      // The client left while the store was asked: the request has been decided without its handler.
      if (this.#isDecided) throw new AbandonedError()
      this.#handlerAnswer = this.#runHandler(ctx)
      return this.#store(key, ctx, await this.#handlerAnswer, false)
    }
    this.#isRenewing = true
    if (this.#inBackground !== undefined) {
      const answer = await this.#inBackground(ctx.signal)
      return answer === undefined ? this.#leaveToNext(key, ctx) : this.#store(key, ctx, answer, true)
    }
    if (this.#isDecided || this.#handlerAnswer !== undefined) return this.#leaveToNext(key, ctx)
    this.#handlerAnswer = this.#runHandler(ctx)
    this.#ownRenewal = this.#handlerAnswer.then((answer) => this.#store(key, ctx, answer, true))
    this.#ownRenewal.catch(() => {})
    return this.#ownRenewal
  }

  /**
   * Runs the handler of this request. It works for its own client, as without a cache, and for all that wait for the load.
   * The handler goes on when the load takes too long, fails or has its answer.
   */
  #runHandler({ signal }: LoadContext): Promise<HandlerAnswer> {
    const client = this.#client
    if (client === undefined) return keepRunning(() => this.#run.forRequest())
    const owner = new Abandonable()
    this.#followClient = () => {
      if (client.isAbandoned) owner.abandon(client.reason)
      else client.addListener(() => owner.abandon(client.reason))
    }
    signal.addEventListener('abort', this.#followClient, { once: true })
    return runWork({ owner }, () => this.#run.forRequest())
  }

  /** Keeps the stale response, for the next request to renew it. */
  #leaveToNext(key: Key, ctx: LoadContext): StoredResponse {
    if (this.#isDecided || this.#inBackground !== undefined) this.#keys.toRenew.add(key, 'stale')
    if (ctx.stale === undefined) throw new AbandonedError()
    ctx.skip()
    return ctx.stale.value as StoredResponse
  }

  async #store(
    key: Key,
    ctx: LoadContext,
    answer: HandlerAnswer,
    isRenewal: boolean,
  ): Promise<StoredResponse | NotStored> {
    // An answer that the handler itself broke off counts for all that wait. Others try again if the client has left.
    if (answer.isAbandoned && (isRenewal || answer.fault === undefined)) throw new AbandonedError()
    if (mayBeStopped(answer.status >= 400)) throw new AbandonedError()
    const isRefusal = answer.status === 429 || answer.status === 408
    if (answer.status >= 500 || (isRenewal && isRefusal)) throw new FailedAnswerError(answer, this.#request)
    const now = this.#settings.wallClock()
    const reason = answer.fault ?? unstorableReason(answer, now) ?? bodyFault(answer, answer.body) ?? this.#tagFault()
    if (reason === undefined) return toStored(answer, answer.body as Buffer, this.#request, this.#settings.vary, now)
    ctx.skip()
    // The handler no longer gives the stored answer, so that must not be served stale.
    if (isRenewal) await this.#cache.delete(key)
    return { reason }
  }

  /** Why the answer is not stored, if not all is known that the handler has read. To be called within the load. */
  #tagFault(): string | undefined {
    return this.#options.tags === 'auto' && currentReads()?.unknown !== undefined ? 'tags' : undefined
  }

  /** Errors of the cache end here. An error of the handler goes to every request that waited for it. */
  async #recover(error: unknown): Promise<CacheDecision> {
    if (this.#handlerAnswer !== undefined) {
      const { status } = await this.#handlerAnswer
      return handled(`fwd=miss; detail=${status < 400 ? 'deadline' : 'status'}`)
    }
    if (error instanceof FailedAnswerError) {
      return isMadeFor(error, this.#request) ? shareFailedAnswer(error.answer) : bypass('fwd=miss')
    }
    const { code } = error as { code?: unknown }
    if (code === 'ERR_LOAD_TIMEOUT' || code === 'ERR_CLOSED') return bypass('fwd=miss')
    throw error
  }

  async #answerFrom(stored: StoredResponse, key: Key): Promise<CacheDecision> {
    const { plain, encoded, coding, mustEncode, encodedKey } = this.#settings.representationOf(
      stored,
      key,
      this.#request.header('accept-encoding'),
    )
    let body: Buffer | null = null
    if (coding !== undefined) {
      // Each body is encoded once in each coding; the encoded body is cached too.
      const encode = () => this.#encode(stored.body, coding, mustEncode)
      try {
        // Not with `'auto'`, because encoding reads nothing.
        const options = this.#options.tags === 'auto' ? this.#settings.entry : this.#options
        body = await this.#cache.getOrSet(encodedKey, encode, options)
      } catch {
        // Encoding took longer than a load may, or the cache was closed meanwhile: send the plain body.
      }
    }
    const answer = Buffer.isBuffer(body)
      ? answerFrom(stored, this.#request, encoded, body, this.#report(stored))
      : answerFrom(stored, this.#request, plain, stored.body, this.#report(stored))
    return { kind: 'answer', answer }
  }

  /** What this answer says of the cache. */
  #report({ storedAt, ageMs }: StoredResponse): CachedAnswer['headers'] {
    const isOwn = this.#handlerAnswer !== undefined && storedAt >= this.#startedAt
    if (isOwn) return [['cache-status', 'posthaste; fwd=miss; stored']]
    const seconds = Math.max(0, Math.floor((this.#settings.wallClock() - storedAt + ageMs) / 1_000))
    const cacheStatus = storedAt > this.#startedAt ? 'posthaste; fwd=miss; collapsed' : 'posthaste; hit'
    return [
      ['cache-status', cacheStatus],
      ['age', String(seconds)],
    ]
  }

  /** @returns `null` when the body is sent as it is */
  async #encode(body: Buffer, coding: ContentCoding, mustEncode: boolean): Promise<Buffer | null> {
    const encoded = await (this.#settings.compressor as ResponseCompressor).codecOf(coding).encode(toBuffer(body))
    return encoded.length < body.length || mustEncode ? copyExactly(encoded) : null
  }
}

function isNotStored(found: unknown): found is NotStored {
  return typeof (found as NotStored | undefined)?.reason === 'string' && !isStored(found)
}
