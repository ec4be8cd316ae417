import { describeValue } from '../shared/assertions.ts'
import { parseDuration } from '../shared/duration.ts'
import type { Call } from './call.ts'
import type { CacheSettings } from './options.ts'
import type { Profile } from './profile.ts'
import type { EntryOptions, GetOrSetOptions } from './types.ts'

const noTags: readonly string[] = []

/** How an entry is to be stored, from a call's options and its profile. */
export interface EntrySpec {
  readonly profile: Profile
  readonly ttlMs: number
  readonly staleMs: number
  readonly tags: readonly string[]
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

/** A caller's question with its options checked. */
export function resolveCall(
  settings: CacheSettings,
  key: string,
  load: unknown,
  options: GetOrSetOptions = {},
  { tagsOf, isPartOfMany = false }: Partial<Pick<Call, 'tagsOf' | 'isPartOfMany'>> = {},
): Call {
  if (typeof load !== 'function') throw new TypeError(`Expected \`load\` to be a function, got ${describeValue(load)}`)
  return {
    ...resolveEntry(settings, options),
    key,
    load: load as Call['load'],
    tagsOf,
    isPartOfMany,
    isFresh: options.fresh === true,
    signal: options.signal,
  }
}

/** @throws TypeError when they are no array of strings */
export function expectTags(tags: unknown): readonly string[] {
  if (!Array.isArray(tags)) throw new TypeError(`Expected \`tags\` to be an array, got ${describeValue(tags)}`)
  for (const tag of tags) {
    if (typeof tag !== 'string') throw new TypeError(`Expected every tag to be a string, got ${describeValue(tag)}`)
  }
  return tags
}
