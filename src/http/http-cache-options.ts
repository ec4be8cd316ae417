import type { TableTag } from '../cache/tags.ts'
import type { Cache } from '../cache/types.ts'
import { describeValue, expectWholeNumber } from '../shared/assertions.ts'
import { type Clock, systemClock } from '../shared/clock.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { type CompressOptions, createEngine, type Engine } from './compressor.ts'

/** What caching of responses needs of a cache; every cache has it. */
export type ResponseStore<Name extends string = string, Tag extends string = string> = Pick<
  Cache<Name, Tag>,
  'get' | 'getOrSet' | 'delete'
>

/** Which responses are stored, for how long, and under what. `Request` is the framework's own. */
export interface HttpCacheOptions<Request = unknown, Name extends string = string, Tag extends string = string> {
  /** @defaultValue `'default'` */
  readonly profile?: Name | undefined
  /** Instead of the profile's. A shorter `s-maxage` or `max-age` of the response goes before. */
  readonly ttl?: Duration | undefined
  /** Invalidating one of them makes the response a miss. */
  readonly tags?: readonly (Tag | TableTag)[] | ((request: Request) => readonly (Tag | TableTag)[]) | undefined
  /**
   * Query parameters that the response depends on; a request with any other is not cached. `'all'`: every parameter may come,
   * and is in the key.
   *
   * @defaultValue `[]`
   */
  readonly query?: readonly string[] | 'all' | undefined
  /** Request headers that the response depends on, beside those that its `Vary` names. */
  readonly vary?: readonly string[] | undefined
  /**
   * What else the response depends on, beside host, path and the `query` that is listed; `null`: this request is not cached.
   * With it, requests with `Authorization`, `Cookie` and other parameters are cached too, so name here what they change.
   */
  readonly key?: ((request: Request) => readonly unknown[] | null) | undefined
  /** Longer bodies are not stored. @defaultValue 1 MiB */
  readonly maxBytes?: number | undefined
  /** How stored bodies are encoded, once for each coding; `false`: not at all. */
  readonly compress?: CompressOptions | false | undefined
  readonly clock?: Clock | undefined
}

/** The options as they are used. */
export interface HttpCacheSettings<Request = unknown> {
  readonly entry: { readonly profile?: string; readonly ttl?: Duration }
  readonly tagsOf: (request: Request) => readonly string[]
  readonly query: ReadonlySet<string> | 'all'
  readonly vary: readonly string[]
  readonly keyOf: ((request: Request) => readonly unknown[] | null) | undefined
  readonly maxBytes: number
  readonly engine: Engine | undefined
  readonly clock: Clock
}

/** @throws TypeError or RangeError that names the first option which is wrong */
export function resolveHttpCacheOptions<Request>(
  options: HttpCacheOptions<Request, string, string>,
): HttpCacheSettings<Request> {
  const { profile, ttl, tags = [], query = [], vary = [], maxBytes = 1024 * 1024, compress = {}, clock } = options
  if (ttl !== undefined) parseDuration(ttl, 'ttl')
  if (typeof tags !== 'function') expectNames(tags, 'tags')
  if (options.key !== undefined && typeof options.key !== 'function') {
    throw new TypeError(`Expected \`key\` to be a function, got ${describeValue(options.key)}`)
  }
  return {
    entry: { ...(profile !== undefined && { profile }), ...(ttl !== undefined && { ttl }) },
    tagsOf: typeof tags === 'function' ? tags : () => tags,
    query: query === 'all' ? 'all' : new Set(expectNames(query, 'query')),
    vary: expectNames(vary, 'vary').map((name) => name.toLowerCase()),
    keyOf: options.key,
    maxBytes: expectWholeNumber(maxBytes, 'maxBytes'),
    engine: compress === false ? undefined : createEngine(compress),
    clock: clock ?? systemClock,
  }
}

function expectNames(value: unknown, option: string): readonly string[] {
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value
  throw new TypeError(`Expected \`${option}\` to be a list of names, got ${describeValue(value)}`)
}
