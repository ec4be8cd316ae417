/**
 * Where the time of a request goes, the strongest first: when two of them overlap, the time belongs to the first. Time in
 * which the request holds the event loop comes before all, because nothing that ends meanwhile could be noticed.
 */
export const waitNames = ['loop', 'database', 'pool', 'upstream', 'cache'] as const

/** One of {@link waitNames}, by its position. */
export const wait = { loop: 0, database: 1, pool: 2, upstream: 3, cache: 4 } as const

export type Wait = (typeof wait)[keyof typeof wait]
