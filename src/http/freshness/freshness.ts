import type { TableTag } from '../../cache/tags.ts'
import type { Cache, TagStamps } from '../../cache/types.ts'
import { describeValue, expectObject, expectOptions, type OptionKinds } from '../../shared/arguments.ts'
import { isPlainObject } from '../../shared/plain-object.ts'
import { nodeCrypto } from '../../shared/platform/builtins.ts'
import { cacheIdentity, Reads } from '../../shared/scope/reads.ts'
import { currentReads, mayBeStopped, readsAreSeen } from '../../shared/scope/work.ts'
import { createWarner, type OnWarn } from '../../shared/warnings.ts'
import { resolveHttpCacheOptions } from '../response-cache/http-cache-options.ts'
import { responseKey } from '../response-cache/response-key.ts'
import type { AnswerHead } from '../response-cache/rules/answer-head.ts'
import { varyingHeaders } from '../response-cache/rules/answer-rules.ts'
import { namesTag } from '../response-cache/rules/conditions.ts'
import { withHeaderRules } from '../response-cache/rules/harmless-headers.ts'
import { bypassReason, type CachedRequest } from '../response-cache/rules/request-rules.ts'
import { isMadeFor, type StoredResponse } from '../response-cache/stored-response.ts'
import { keptHeaders, validatorFault } from './validator-rules.ts'

/** The part of a cache that `freshness` asks; every cache has it. */
export type StampStore<Tag extends string = string> = Pick<Cache<string, Tag>, 'stamps'>

/** What the answer of a route depends on. `Request` is the framework's own. */
export interface FreshnessOptions<Request = unknown, Tag extends string = string> {
  /** The tags that stand for the answer. @defaultValue `'auto'`: those of whatever the handler reads */
  readonly tags?: readonly (Tag | TableTag)[] | 'auto' | ((request: Request) => readonly (Tag | TableTag)[]) | undefined
  /** Request headers that the answer depends on, besides those that its `Vary` names; they are added to it. */
  readonly vary?: readonly string[] | undefined
  /**
   * Returns what the answer depends on besides host, path and query, such as the user's id, or `null` for a request that the
   * handler must answer. Without `key`, requests with `Authorization`, `Cookie`, or another header that may tell clients apart
   * are left to the handler.
   */
  readonly key?: ((request: Request) => readonly unknown[] | null) | undefined
  /** Request headers that no handler reads. As in `cacheResponses`. */
  readonly ignoreHeaders?: readonly string[] | undefined
  /** Receives warnings instead of `process.emitWarning`. */
  readonly onWarn?: OnWarn | undefined
}

/** How to go on with a request. */
export type FreshnessDecision =
  /** The client has the answer already: send 304 with these headers. */
  | { readonly kind: 'fresh'; readonly headers: AnswerHead['headers'] }
  /** Run the handler. `reads` collects what it reads, if that is asked for. */
  | { readonly kind: 'run'; readonly reads: Reads | undefined; readonly validator: Validator }
  /** Let the handler answer as if nothing had been asked. */
  | { readonly kind: 'bypass' }

/** Makes the entity tag of the answer that a handler is about to give. */
export interface Validator {
  /** The tag of an answer that is given as a whole; `undefined` when it can have none. Never rejects. */
  finish(answer: AnswerHead): Promise<string | undefined>
  /** The tag of an answer in pieces. `undefined` unless the tags are named, because the handler may still read. */
  finishEarly(answer: AnswerHead): string | undefined
  /** Names to add to `Vary`. */
  readonly vary: readonly string[]
}

/** Answers conditional requests from the stamps of tags, for any framework. */
export interface Freshness<Request = unknown> {
  decide(request: CachedRequest<Request>): Promise<FreshnessDecision>
}

/** What the last answer to a key was made of. */
interface Learned {
  readonly tags: readonly string[]
  /** The request headers that it depended on, with their values. */
  readonly varied: StoredResponse['varied']
  /** Its headers that a 304 repeats. */
  readonly headers: AnswerHead['headers']
  /** The entity tag that was computed last, and the stamps it was computed from. */
  latest: { readonly stamps: TagStamps; readonly tag: string | undefined } | undefined
}

const maxLearned = 10_000
const freshnessOptions: OptionKinds<FreshnessOptions> = {
  tags: 'own',
  vary: 'own',
  key: 'function',
  ignoreHeaders: 'own',
  onWarn: 'function',
}
const leaveAlone: FreshnessDecision = { kind: 'bypass' }

/** @throws TypeError for a wrong option */
export function createFreshness<Request>(cache: StampStore, options: FreshnessOptions<Request>): Freshness<Request> {
  expectObject(cache, 'cache', ['stamps'])
  expectOptions(options, freshnessOptions)
  const checked = resolveHttpCacheOptions<Request>({ ...options, tags: options.tags ?? 'auto', query: 'all' }, cache)
  const settings = withHeaderRules(checked, cache)
  const { tagsOf } = settings
  const warn = createWarner(options.onWarn)
  const identity = (cache as { readonly [cacheIdentity]?: object })[cacheIdentity] ?? cache
  const learnedByKey = new Map<string, Learned>()

  return {
    async decide(request) {
      if (bypassReason(request, settings) !== undefined) return leaveAlone
      const key = responseKey(request, settings)
      if (key === null) return leaveAlone
      const name = nameOf(key)
      const learned = learnedByKey.get(name)
      const named = tagsOf === 'auto' ? undefined : tagsOf(request.original)
      const tags = named ?? learned?.tags ?? []
      // Read the stamps before the handler reads anything, so that a tag that is invalidated meanwhile has another stamp.
      const before = await cache.stamps(tags)
      if (before === undefined) return leaveAlone
      const given = request.header('if-none-match') ?? undefined
      if (given !== undefined && learned !== undefined && isMadeFor(learned, request)) {
        const current = currentTag(name, learned, tags, before)
        // `*` does not match: it asks whether there is an answer at all, which the stamps do not say.
        if (current !== undefined && (given === current || namesTag(given, current.slice('W/'.length)))) {
          return { kind: 'fresh', headers: [['etag', current], ...learned.headers] }
        }
      }
      const reads = tagsOf === 'auto' ? new Reads(identity, currentReads()) : undefined
      const context = { name, request, before, named, reads, known: tags }
      return { kind: 'run', reads, validator: validatorOf(context) }
    },
  }

  function validatorOf({ name, request, before, named, reads, known }: RunContext): Validator {
    const learn = (answer: AnswerHead, tags: readonly string[]): Learned => {
      const names = varyingHeaders(answer).filter((header) => !settings.vary.includes(header))
      const varied = names.map((header) => [header, request.header(header) ?? null] as const)
      const learned = { tags, varied, headers: keptHeaders(answer, settings.vary), latest: undefined }
      learnedByKey.delete(name)
      if (learnedByKey.size >= maxLearned) learnedByKey.delete(learnedByKey.keys().next().value as string)
      learnedByKey.set(name, learned)
      return learned
    }
    const tagOf = async (answer: AnswerHead) => {
      if (validatorFault(answer) !== undefined || mayBeStopped()) return undefined
      const tags = named ?? [...(reads as Reads).tags].sort()
      if (reads !== undefined) {
        const fault = readFault(reads)
        if (fault !== undefined) {
          warn({ code: 'FRESHNESS_TAGS_UNKNOWN', message: `An answer has no entity tag, because ${fault}` })
          learnedByKey.delete(name)
          return undefined
        }
        if (tags.length === 0 || reads.hasFailed || !isHeard(reads, before)) return undefined
      }
      const { varied } = learn(answer, tags)
      const isKnown = sameTags(tags, known) && before.stamps.every((stamp) => stamp !== undefined)
      const stamps = isKnown ? before : await cache.stamps(tags, { since: before })
      return stamps && entityTag(name, varied, tags, stamps)
    }
    return {
      vary: settings.vary,
      finishEarly(answer) {
        if (named === undefined || validatorFault(answer) !== undefined || mayBeStopped()) return undefined
        return entityTag(name, learn(answer, named).varied, named, before)
      },
      // The cache may be closed.
      finish: (answer) => tagOf(answer).catch(() => undefined),
    }
  }
}

interface RunContext {
  readonly name: string
  readonly request: CachedRequest
  readonly before: TagStamps
  readonly named: readonly string[] | undefined
  readonly reads: Reads | undefined
  readonly known: readonly string[]
}

/** Why not all is known that the handler has read; `undefined` if it is. */
function readFault({ unknown, tags }: Reads): string | undefined {
  if (unknown !== undefined) return unknown
  return tags.size === 0 && !readsAreSeen() ? 'no `Kysely` of this process is instrumented' : undefined
}

/** Whether values from this process's memory were as new as the stamps. If not, only the next answer gets a tag. */
function isHeard({ memoryStamp, isInvalidated }: Reads, { at }: TagStamps): boolean {
  if (isInvalidated) return false
  return memoryStamp === Number.POSITIVE_INFINITY || (typeof at === 'number' && memoryStamp >= at)
}

/** The tag is weak, because the handler may write the same state in other bytes. `undefined` when one of the stamps is. */
function entityTag(
  name: string,
  varied: Learned['varied'],
  tags: readonly string[],
  { generation, stamps }: TagStamps,
): string | undefined {
  if (tags.length === 0 || stamps.includes(undefined)) return undefined
  const text = JSON.stringify([name, varied, generation, tags, stamps])
  return `W/"${nodeCrypto().hash('sha256', text, 'base64url').slice(0, 27)}"`
}

function sameTags(tags: readonly string[], others: readonly string[]): boolean {
  return tags.length === others.length && tags.every((tag, index) => tag === others[index])
}

/** As {@link entityTag}, but returns the latest tag again while the stamps stay the same, as they do for most requests. */
function currentTag(name: string, learned: Learned, tags: readonly string[], stamps: TagStamps): string | undefined {
  const { latest, varied } = learned
  if (latest !== undefined && sameStamps(latest.stamps, stamps) && sameTags(learned.tags, tags)) return latest.tag
  const tag = entityTag(name, varied, tags, stamps)
  if (sameTags(learned.tags, tags)) learned.latest = { stamps, tag }
  return tag
}

function sameStamps(one: TagStamps, other: TagStamps): boolean {
  if (one.generation !== other.generation || one.stamps.length !== other.stamps.length) return false
  for (let index = 0; index < one.stamps.length; index++) if (one.stamps[index] !== other.stamps[index]) return false
  return true
}

/** Clients choose most of a key, and names stay in memory, so longer ones are hashed. */
const maxNameLength = 200

/**
 * Keys that differ have different names, unless a user's value imitates our form of a value that JSON lacks.
 *
 * @throws TypeError for a value that JSON would leave out of the user's key, so that two clients could have the same key
 */
function nameOf(key: unknown): string {
  const text = typeof key === 'string' ? key : JSON.stringify(key, toJsonValue)
  return text.length <= maxNameLength ? text : nodeCrypto().hash('sha256', text, 'base64url')
}

function toJsonValue(_name: string, value: unknown): unknown {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  const isHidden = isObject && !(isPlainObject(value) && Object.getOwnPropertySymbols(value).length === 0)
  if (isHidden || typeof value === 'function' || typeof value === 'symbol') {
    throw new TypeError(`Expected every part of \`key\` to be plain data, got ${describeValue(value)}`)
  }
  const isLacking =
    typeof value === 'bigint' || value === undefined || (typeof value === 'number' && !Number.isFinite(value))
  return isLacking ? ['posthaste', typeof value, String(value)] : value
}
