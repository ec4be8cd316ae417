import type { Key } from '../cache/key.ts'
import type { LoadContext } from '../cache/types.ts'
import { bypassReason, type CachedRequest, type HandlerAnswer, headerOf, unstorableReason } from './cache-rules.ts'
import type { Encoding } from './codecs.ts'
import { toBuffer } from './compressor.ts'
import {
  type HttpCacheOptions,
  type HttpCacheSettings,
  type ResponseStore,
  resolveHttpCacheOptions,
} from './http-cache-options.ts'
import { extendKey, responseKey } from './response-key.ts'
import {
  answerFrom,
  type CachedAnswer,
  isMadeFor,
  isStored,
  ownBytes,
  type StoredResponse,
  toStored,
} from './stored-response.ts'

/** Runs the handler of a request. */
export interface HandlerRun {
  /** For this request. What it answers is kept back, unless it comes in pieces. */
  inPlace(): Promise<HandlerAnswer>
  /** Once more, to renew what is stored; the request is answered already. */
  detached(): Promise<HandlerAnswer>
}

/** What becomes of a request. `cacheStatus` is the header to send (RFC 9211). */
export type Outcome =
  /** This is the answer. */
  | { readonly kind: 'answer'; readonly answer: CachedAnswer }
  /** The handler has run, and what it answered is to be sent as it is. */
  | { readonly kind: 'own'; readonly cacheStatus: string }
  /** The handler has not run, and is to answer as if there were no cache. */
  | { readonly kind: 'pass'; readonly cacheStatus: string }

/** Answers requests from a cache, whatever the framework. */
export interface ResponseCache<Request = unknown> {
  readonly settings: HttpCacheSettings<Request>
  respond(request: CachedRequest<Request>, run: HandlerRun): Promise<Outcome>
}

/** @throws TypeError or RangeError for a wrong option */
export function createResponseCache<Request, Name extends string, Tag extends string>(
  cache: ResponseStore<Name, Tag>,
  options: HttpCacheOptions<Request, Name, Tag>,
): ResponseCache<Request> {
  const settings = resolveHttpCacheOptions(options as HttpCacheOptions<Request, string, string>)
  return {
    settings,
    async respond(request, run) {
      const bypass = bypassReason(request, settings)
      if (bypass !== undefined) return pass(bypass)
      const key = responseKey(request, settings)
      if (key === null) return pass('fwd=bypass; detail=key')
      return new Visit(cache as ResponseStore, settings, request, run).answer(key)
    },
  }
}

/** What a load gives when its answer is not stored: why not. */
interface NotStored {
  readonly reason: string
}

/** The handler answered with an error of the server's. A stale response goes before it. */
class FailedAnswerError extends Error {
  readonly answer: HandlerAnswer
  constructor(answer: HandlerAnswer) {
    super(`The handler answered with ${answer.status}`)
    this.answer = answer
  }
}

/** The handler's client went away before there was an answer. */
class AbandonedError extends Error {}

/** A variant for each value of a header that varies; more of such headers in a chain are a handler gone wild. */
const maxVariations = 4

/** One request on its way through the cache. */
class Visit<Request> {
  readonly #cache: ResponseStore
  readonly #settings: HttpCacheSettings<Request>
  readonly #request: CachedRequest<Request>
  readonly #run: HandlerRun
  readonly #askedAt: number
  readonly #options: { readonly tags: readonly never[] }
  /** What this request's own handler answers, once it was asked. */
  #running: Promise<HandlerAnswer> | undefined

  constructor(
    cache: ResponseStore,
    settings: HttpCacheSettings<Request>,
    request: CachedRequest<Request>,
    run: HandlerRun,
  ) {
    this.#cache = cache
    this.#settings = settings
    this.#request = request
    this.#run = run
    this.#askedAt = settings.clock()
    this.#options = { ...settings.entry, tags: settings.tagsOf(request.original) as readonly never[] }
  }

  async answer(base: Key): Promise<Outcome> {
    let key = base
    for (let variation = 0; variation < maxVariations; variation++) {
      const found = await this.#find(key)
      if (found === undefined) return pass('fwd=miss')
      if ('kind' in found) return found
      if (isMadeFor(found, this.#request)) return this.#send(found, key)
      key = extendKey(
        base,
        found.varied.flatMap(([name]) => [name, this.#request.header(name) ?? null]),
      )
    }
    return pass('fwd=miss; detail=vary')
  }

  /** What is stored, or what becomes of the request when nothing is. */
  async #find(key: Key): Promise<StoredResponse | Outcome | undefined> {
    try {
      if (this.#request.method === 'HEAD') return await this.#peek(key)
      let found = await this.#getOrRun(key, false)
      if (isUnusable(found, this.#settings.clock())) found = await this.#getOrRun(key, true)
      if (!('reason' in found)) return found
      const cacheStatus = `fwd=miss; detail=${found.reason}`
      return this.#running === undefined ? pass(cacheStatus) : own(cacheStatus)
    } catch (error) {
      // Its client went away, so the next one's handler runs.
      if (error instanceof AbandonedError && this.#running === undefined) return this.#find(key)
      return this.#recover(error)
    }
  }

  /** A handler that answers HEAD gives nothing to store. */
  async #peek(key: Key): Promise<StoredResponse | undefined> {
    const found = await this.#cache.get<StoredResponse>(key)
    return found === undefined || isUnusable(found, this.#settings.clock()) ? undefined : found
  }

  #getOrRun(key: Key, fresh: boolean): Promise<StoredResponse | NotStored> {
    return this.#cache.getOrSet(key, (ctx) => this.#load(key, ctx), { ...this.#options, fresh })
  }

  async #load(key: Key, ctx: LoadContext): Promise<StoredResponse | NotStored> {
    const isRenewal = ctx.stale !== undefined || this.#running !== undefined
    if (!isRenewal) this.#running = this.#run.inPlace()
    const answer = await (isRenewal ? this.#run.detached() : (this.#running as Promise<HandlerAnswer>))
    if (answer.isAbandoned) throw new AbandonedError()
    if (answer.status >= 500) throw new FailedAnswerError(answer)
    const now = this.#settings.clock()
    const reason = unstorableReason(answer, now) ?? (answer.body === undefined ? 'size' : undefined)
    if (reason === undefined) return toStored(answer, answer.body as Buffer, this.#request, now)
    ctx.skip()
    // What was stored is no longer to be had, so it must not be served stale.
    if (isRenewal) await this.#cache.delete(key)
    return { reason }
  }

  /** Trouble of the cache ends here; the handler's own errors go on to everybody who waited for it. */
  async #recover(error: unknown): Promise<Outcome> {
    if (this.#running !== undefined) {
      await this.#running
      return own('fwd=miss; detail=status')
    }
    if (error instanceof FailedAnswerError) return shared(error.answer)
    const { code } = error as { code?: unknown }
    if (code === 'ERR_LOAD_TIMEOUT' || code === 'ERR_CLOSED') return pass('fwd=miss')
    throw error
  }

  async #send(stored: StoredResponse, key: Key): Promise<Outcome> {
    const isNew = stored.storedAt > this.#askedAt
    const isOwn = this.#running !== undefined
    const cacheStatus = isOwn ? 'fwd=miss; stored' : isNew ? 'fwd=miss; collapsed' : 'hit'
    const ageMs = isOwn ? undefined : this.#settings.clock() - stored.storedAt
    const encoded = await this.#encode(stored, key)
    const answer = answerFrom(stored, this.#request, encoded, { ageMs, cacheStatus: `posthaste; ${cacheStatus}` })
    return { kind: 'answer', answer }
  }

  /** The body in the coding that the client accepts, encoded once for all. */
  async #encode(stored: StoredResponse, key: Key) {
    const { engine } = this.#settings
    const { body, hash, status } = stored
    const identity: { encoding: Encoding; body: Buffer; isVaried: boolean } = {
      encoding: 'identity',
      body,
      isVaried: false,
    }
    if (engine === undefined) return identity
    const acceptEncoding = this.#request.header('accept-encoding')
    const plan = engine.plan({ acceptEncoding, status, header: headerOf(stored) }, body.length)
    const isVaried = 'coding' in plan || plan.set.vary !== undefined
    if (!('coding' in plan)) return { ...identity, isVaried }
    const encode = async () => {
      const encoded = await engine.codecOf(plan.coding).encode(toBuffer(body))
      return encoded.length < body.length || plan.mustEncode ? ownBytes(encoded) : null
    }
    try {
      const encoded = await this.#cache.getOrSet(extendKey(key, [plan.coding, hash]), encode, this.#options)
      if (Buffer.isBuffer(encoded)) return { encoding: plan.coding, body: encoded, isVaried }
    } catch {
      // It took longer than a load may, or the cache was closed meanwhile: the body as it is will do.
    }
    return { ...identity, isVaried }
  }
}

/** Past its own lifetime, or no response: another version, or somebody else, may have written it. */
function isUnusable(found: StoredResponse | NotStored, now: number): boolean {
  if (isStored(found)) return found.freshUntil !== undefined && now >= found.freshUntil
  return typeof found?.reason !== 'string'
}

function pass(cacheStatus: string): Outcome {
  return { kind: 'pass', cacheStatus: `posthaste; ${cacheStatus}` }
}

function own(cacheStatus: string): Outcome {
  return { kind: 'own', cacheStatus: `posthaste; ${cacheStatus}` }
}

/** The error that another request's handler answered with, if nothing in it is for that request's client alone. */
function shared(answer: HandlerAnswer): Outcome {
  const { status, headers, body } = answer
  if (body === undefined || unstorableReason({ ...answer, status: 200 }, 0) !== undefined) return pass('fwd=miss')
  const fields: CachedAnswer['headers'] = [...headers, ['cache-status', 'posthaste; fwd=miss; collapsed']]
  return { kind: 'answer', answer: { status, headers: fields, body } }
}
