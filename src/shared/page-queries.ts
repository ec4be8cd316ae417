const mark: unique symbol = Symbol('page query')

/**
 * Marks the syntax tree of a query that reads page after page: running it again and again is its purpose, and no N+1.
 *
 * @param node - the root node as it is compiled; a frozen one is left as it is
 */
export function markPageQuery(node: object): void {
  // A property, because a WeakSet of every statement would cost the collector more than the page does.
  if (Object.isExtensible(node)) (node as { [mark]?: true })[mark] = true
}

/** Whether the query was marked by {@link markPageQuery}. */
export function isPageQuery(node: object): boolean {
  return mark in node
}
