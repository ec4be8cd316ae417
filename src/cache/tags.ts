declare const tagType: unique symbol

/** The type of a cache's tags; made by {@link tags}. */
export interface TagSpec<Tag extends string> {
  readonly [tagType]?: Tag
}

/**
 * Declares the tags of a cache, so that code with a wrong tag does not compile.
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

/** The tag of a table, allowed in every cache. `cachedQuery` sets it; writes through an instrumented Kysely invalidate it. */
export type TableTag = `table:${string}`
