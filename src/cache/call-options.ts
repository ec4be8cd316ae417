import { describeValue, expectFunction, expectOptions, expectText, type OptionKinds } from '../shared/arguments.ts'
import type { Abandonable } from '../shared/scope/abandonable.ts'
import { automaticTag, type Reads } from '../shared/scope/reads.ts'
import { currentOwner, currentReads } from '../shared/scope/work.ts'
import { parseDuration } from '../shared/time/duration.ts'
import type { Change } from './memory/invalidation-log.ts'
import type { CacheSettings } from './options.ts'
import type { Profile } from './profile.ts'
import type { EntryHeader } from './store/store.ts'
import type {
  EntryOptions,
  GetOrSetManyOptions,
  GetOrSetOptions,
  InvalidateOptions,
  LoadContext,
  WrapOptions,
} from './types.ts'

export const entryOptions: OptionKinds<EntryOptions> = { profile: 'own', ttl: 'own', stale: 'own', tags: 'own' }

const getOrSetOptions: OptionKinds<GetOrSetOptions> = { ...entryOptions, fresh: 'boolean', signal: 'signal' }

const wrapOptions: OptionKinds<WrapOptions<never, never>> = { name: 'text', key: 'function', ...entryOptions }

const getOrSetManyOptions: OptionKinds<GetOrSetManyOptions<never, never>> = {
  key: 'function',
  ...getOrSetOptions,
  tags: 'function',
}

const invalidateOptions: OptionKinds<InvalidateOptions> = { serveStale: 'boolean' }

const noTags: readonly string[] = []
const automaticTags: readonly string[] = [automaticTag]

/** How an entry will be stored: by the caller's options, or else by those of its profile. */
interface EntrySpec {
  readonly profile: Profile
  readonly ttlMs: number
  readonly staleMs: number
  readonly tags: readonly string[]
}

/** One caller's `getOrSet`, its options checked. */
export interface Call extends EntrySpec {
  readonly key: string
  readonly load: (ctx: LoadContext) => unknown
  /** Tags that depend on the value. */
  readonly tagsOf?: ((value: unknown) => unknown) | undefined
  readonly isFresh: boolean
  /**
   * Whether the call is for an id of `getOrSetMany`, whose load may find no value. A `getOrSet` that shares such a load then
   * loads for itself.
   */
  readonly isPartOfMany: boolean
  readonly signal: AbortSignal | undefined
  /** Whether `tags` is `'auto'`: the entry gets the tags of what its load reads. */
  readonly isAutomatic: boolean
  /** Collects what the work that makes this call depends on. */
  readonly reads: Reads | undefined
  /** The work that makes this call. When it is abandoned, the caller stops waiting. */
  readonly owner: Abandonable | undefined
}

/** The tags that an entry must have to answer a caller with these `tags`. */
export function neededTags(tags: readonly string[] | 'auto' = noTags): readonly string[] {
  return tags === 'auto' ? automaticTags : tags
}

/** Whether an entry has these tags, in this order, and no others. */
export function hasExactTags({ tags }: Pick<EntryHeader, 'tags'>, named: readonly string[]): boolean {
  return tags.length === named.length && tags.every((tag, index) => tag === named[index])
}

/** @throws TypeError for a profile that was not declared, a lifetime that is no duration, tags that are no strings */
export function resolveEntry({ profiles }: CacheSettings, options: EntryOptions = {}): EntrySpec {
  const { profile: name = 'default', ttl, stale, tags = noTags } = options
  const profile = profiles.get(name)
  if (profile === undefined) {
    const names = [...profiles.keys()].map((known) => `'${known}'`).join(', ')
    throw new TypeError(`Expected \`profile\` to be one of ${names}, got ${describeValue(name)}`)
  }
  return {
    profile,
    ttlMs: ttl === undefined ? profile.ttlMs : parseDuration(ttl, 'ttl'),
    staleMs: stale === undefined ? profile.staleMs : parseDuration(stale, 'stale'),
    tags: expectTags(tags),
  }
}

/** @throws TypeError when `load` is no function, and as {@link resolveEntry} */
export function resolveCall(
  settings: CacheSettings,
  key: string,
  load: unknown,
  options: GetOrSetOptions = {},
  { tagsOf, isPartOfMany = false }: Partial<Pick<Call, 'tagsOf' | 'isPartOfMany'>> = {},
): Call {
  expectFunction(load, 'load')
  expectOptions(options, getOrSetOptions)
  return {
    ...resolveEntry(settings, { ...options, tags: neededTags(options.tags) }),
    key,
    load: load as Call['load'],
    tagsOf,
    isPartOfMany,
    isFresh: options.fresh === true,
    signal: options.signal,
    isAutomatic: options.tags === 'auto',
    reads: currentReads(),
    owner: currentOwner(),
  }
}

/** @throws TypeError for wrong arguments of `wrap`, and as {@link resolveEntry} */
export function expectWrapped(settings: CacheSettings, fn: unknown, options: WrapOptions<never, never>): void {
  expectFunction(fn, 'fn')
  expectOptions(options, wrapOptions)
  expectText(options.name, 'name')
  const { profile, ttl, stale, tags } = options
  resolveEntry(settings, { profile, ttl, stale, tags: typeof tags === 'function' ? undefined : neededTags(tags) })
}

/** @throws TypeError for wrong arguments of `getOrSetMany` */
export function expectMany(ids: unknown, load: unknown, options: unknown): void {
  if (typeof (Object(ids) as Partial<Iterable<unknown>>)[Symbol.iterator] !== 'function') {
    throw new TypeError(`Expected \`ids\` to be iterable, got ${describeValue(ids)}`)
  }
  expectFunction(load, 'load')
  expectOptions(options, getOrSetManyOptions)
  expectFunction((options as { readonly key?: unknown }).key, 'key')
}

/**
 * The arguments of `invalidateTags`: tags, and then perhaps options.
 *
 * @throws TypeError for a tag that is no string, and for a wrong option
 */
export function resolveTagChange(given: readonly unknown[]): Pick<Change, 'tags' | 'isSoft'> {
  const options = given.at(-1)
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return { tags: expectTags(given) }
  expectOptions(options, invalidateOptions)
  return { tags: expectTags(given.slice(0, -1)), isSoft: (options as InvalidateOptions).serveStale }
}

/**
 * The tags without duplicates. Lone surrogates are replaced, as UTF-8 would replace them on the way to a store.
 *
 * @throws TypeError unless they are an array of strings
 */
export function expectTags(tags: unknown): readonly string[] {
  if (!Array.isArray(tags)) throw new TypeError(`Expected \`tags\` to be an array, got ${describeValue(tags)}`)
  if (tags.length === 0) return noTags
  for (const tag of tags) {
    if (typeof tag !== 'string') throw new TypeError(`Expected every tag to be a string, got ${describeValue(tag)}`)
  }
  // A copy, because the caller may change its array later.
  return [...new Set<string>(tags.map((tag: string) => tag.toWellFormed()))]
}
