const pageQueries = new WeakSet<object>()

/**
 * Marks the syntax tree of a query that reads page after page: running it again and again is its purpose, and no N+1.
 *
 * @param node - the root node as it is compiled
 */
export function markPageQuery(node: object): void {
  pageQueries.add(node)
}

/** Whether the query was marked by {@link markPageQuery}. */
export function isPageQuery(node: object): boolean {
  return pageQueries.has(node)
}
