/**
 * The parts of a request's time, by priority: when two overlap, the time counts for the first. Time in which the request
 * holds the event loop comes first, because nothing that ends during it could be noticed.
 */
export const waitNames = ['loop', 'database', 'pool', 'upstream', 'cache'] as const

/** One of {@link waitNames}, by its position. */
export const wait = { loop: 0, database: 1, pool: 2, upstream: 3, cache: 4 } as const

export type Wait = (typeof wait)[keyof typeof wait]
