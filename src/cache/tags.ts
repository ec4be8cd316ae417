declare const tagType: unique symbol

/** Carries the names of a cache's tags in its type; made by {@link tags}. */
export interface TagSpec<Tag extends string> {
  readonly [tagType]?: Tag
}

/**
 * Declares the tags of a cache, so that a wrong one does not compile.
 *
 * @example
 * ```ts
 * const cache = createCache({ tags: tags<'users' | `user:${number}`>() })
 * await cache.invalidateTags('user:5')
 * ```
 */
export function tags<Tag extends string>(): TagSpec<Tag> {
  return {}
}

/** The tag of a table, allowed in every cache: `cachedQuery` sets it, and writes through an instrumented Kysely use it. */
export type TableTag = `table:${string}`

/** Whether two lists name the same tags in the same order. */
export function areSameTags(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((tag, index) => tag === others[index])
}
