import type { TableTag } from '../../cache/tags.ts'
import type { Cache } from '../../cache/types.ts'
import {
  describeValue,
  expectOneOf,
  expectOptions,
  expectWholeNumber,
  type OptionKinds,
} from '../../shared/arguments.ts'
import { isHttpToken } from '../../shared/http-token.ts'
import { watchRejection } from '../../shared/rejections.ts'
import { type Clock, systemClock, wallClock } from '../../shared/time/clock.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import type { OnWarn } from '../../shared/warnings.ts'
import {
  type CompressOptions,
  type CompressSettings,
  compressOptions,
  resolveCompressOptions,
} from '../compression/compress-options.ts'
import type { HeaderRules } from './rules/harmless-headers.ts'

/** The part of a cache that stores responses; every cache has it. */
export type ResponseStore<Name extends string = string, Tag extends string = string> = Pick<
  Cache<Name, Tag>,
  'get' | 'getOrSet' | 'delete'
>

/** Which responses are stored, for how long, and under which key. `Request` is the framework's own. */
export interface HttpCacheOptions<Request = unknown, Name extends string = string, Tag extends string = string> {
  /** @defaultValue `'default'` */
  readonly profile?: Name | 'default' | undefined
  /** Replaces the profile's. A shorter `s-maxage` or `max-age` of the response wins. */
  readonly ttl?: Duration | undefined
  /**
   * Invalidating one of these tags makes the response a miss. `'auto'`: the tags of whatever the handler reads, as in
   * `getOrSet`. When they cannot be told, the response is not stored, and `Cache-Status` says `detail=tags`.
   */
  readonly tags?: readonly (Tag | TableTag)[] | 'auto' | ((request: Request) => readonly (Tag | TableTag)[]) | undefined
  /**
   * The query parameters that the response depends on. A request with any other parameter is not cached. With `'all'`, every
   * parameter is allowed and becomes part of the key.
   *
   * @defaultValue `[]`
   */
  readonly query?: readonly string[] | 'all' | undefined
  /** Request headers that the response depends on, besides those that its `Vary` names; they are added to it. */
  readonly vary?: readonly string[] | undefined
  /**
   * Request headers that no handler reads. A request with a header that is neither listed here, nor in `vary`, nor known to be
   * harmless, bypasses the cache. A trailing `*` stands for any ending: `'cf-*'`.
   */
  readonly ignoreHeaders?: readonly string[] | undefined
  /**
   * Returns what the response depends on besides host, path and the parameters in `query`, or `null` when this request must
   * not be cached. With `key`, requests with `Authorization`, `Cookie` or other parameters are cached too: the key must hold
   * everything in them that changes the response. Parameters that some parsers take for a listed one (`page[]` for `page`) are
   * not cached.
   */
  readonly key?: ((request: Request) => readonly unknown[] | null) | undefined
  /** Longer bodies are not stored; in bytes. @defaultValue 1 MiB */
  readonly maxBytes?: number | undefined
  /** How stored bodies are compressed, once in each coding; `false` turns compression off. */
  readonly compress?: CompressOptions | false | undefined
  readonly clock?: Clock | undefined
  /** Receives warnings instead of `process.emitWarning`. */
  readonly onWarn?: OnWarn | undefined
}

interface EntryOptions {
  readonly profile?: string
  readonly ttl?: Duration
}

/** The options, checked, with their defaults. */
export interface CheckedHttpCacheOptions<Request = unknown> {
  readonly entry: EntryOptions
  /** What an answer is stored with: {@link entry} and its tags. */
  readonly optionsOf: (request: Request) => EntryOptions & { readonly tags: readonly string[] | 'auto' }
  /** `'auto'`: those of what the handler reads. */
  readonly tagsOf: ((request: Request) => readonly string[]) | 'auto'
  readonly query: ReadonlySet<string> | 'all'
  readonly vary: readonly string[]
  readonly keyOf: ((request: Request) => readonly unknown[] | null) | undefined
  readonly maxBytes: number
  readonly compress: CompressSettings | false
  readonly clock: Clock
  /** The clock for stored times, which other processes and clients read too. */
  readonly wallClock: Clock
  /** Names of request headers, in lower case, beside those that are harmless everywhere. */
  readonly harmlessHeaders: readonly string[]
  readonly onWarn: OnWarn | undefined
}

export interface HttpCacheSettings<Request = unknown> extends CheckedHttpCacheOptions<Request>, HeaderRules {}

/** The options of one route, with the default for each that is missing or `undefined`. */
export function withDefaults<Options extends object>(options: Options, defaults: Options): Options {
  return { ...defaults, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) }
}

/**
 * @param cache - names its profiles, if it has statistics
 * @throws TypeError or RangeError that names the first wrong option
 */
export function resolveHttpCacheOptions<Request>(
  options: HttpCacheOptions<Request, string, string>,
  cache: object,
): CheckedHttpCacheOptions<Request> {
  expectOptions(options, httpCacheOptions)
  const { profile, ttl, tags = [], query = [], vary = [], maxBytes = 1024 * 1024, compress = {}, clock } = options
  if (profile !== undefined) expectProfile(profile, cache)
  if (ttl !== undefined) parseDuration(ttl, 'ttl')
  if (typeof tags !== 'function' && tags !== 'auto') expectNames(tags, 'tags')
  const varying = expectHeaders(vary, 'vary').map((name) => name.toLowerCase())
  const ignored = expectNames(options.ignoreHeaders ?? [], 'ignoreHeaders').map((name) => name.toLowerCase())
  const entry = { ...(profile !== undefined && { profile }), ...(ttl !== undefined && { ttl }) }
  const checkedTags = typeof tags === 'function' ? (request: Request) => expectNames(tags(request), 'tags') : undefined
  const fixedOptions = { ...entry, tags: typeof tags === 'function' ? [] : tags }
  return {
    entry,
    optionsOf: checkedTags ? (request) => ({ ...entry, tags: checkedTags(request) }) : () => fixedOptions,
    tagsOf: checkedTags ?? (tags === 'auto' ? tags : () => tags as readonly string[]),
    query: query === 'all' ? 'all' : new Set(expectNames(query, 'query')),
    vary: varying,
    keyOf: options.key,
    maxBytes: expectWholeNumber(maxBytes, 'maxBytes'),
    compress: compress === false ? false : resolveCompressOptions(compress, compressOptions, 'compress'),
    clock: clock ?? systemClock,
    wallClock: clock ?? wallClock,
    harmlessHeaders: [...varying, ...ignored],
    onWarn: options.onWarn,
  }
}

const httpCacheOptions: OptionKinds<HttpCacheOptions> = {
  profile: 'own',
  ttl: 'own',
  tags: 'own',
  query: 'own',
  vary: 'own',
  ignoreHeaders: 'own',
  key: 'function',
  maxBytes: 'own',
  compress: 'own',
  clock: 'function',
  onWarn: 'function',
}

function expectProfile(profile: unknown, cache: object): void {
  const { byProfile } = (cache as Partial<Pick<Cache, 'stats'>>).stats?.() ?? {}
  if (byProfile !== undefined) expectOneOf(profile, 'profile', Object.keys(byProfile))
}

function expectNames(value: unknown, option: string): readonly string[] {
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value
  watchRejection(value)
  throw new TypeError(`Expected \`${option}\` to be a list of names, got ${describeValue(value)}`)
}

/** A pattern, or several names in one text, would stand for no header, and all clients would share an answer. */
function expectHeaders(value: unknown, option: string): readonly string[] {
  const wrong = expectNames(value, option).find((name) => !isHttpToken(name) || name.includes('*'))
  if (wrong === undefined) return value as readonly string[]
  throw new TypeError(`Expected \`${option}\` to be a list of header names, got ${describeValue(wrong)}`)
}
