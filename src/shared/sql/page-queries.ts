const mark: unique symbol = Symbol('page query')

/**
 * Marks the syntax tree of a query that reads one page of many. Such a query runs repeatedly, which is not an N+1.
 *
 * @param node - the root node that is compiled; a frozen node is not marked
 */
export function markPageQuery(node: object): void {
  // A property, because a WeakSet of all statements costs the garbage collector more time than the page takes.
  if (Object.isExtensible(node)) (node as { [mark]?: true })[mark] = true
}

/** Whether the query was marked by {@link markPageQuery}. */
export function isPageQuery(node: object): boolean {
  return mark in node
}
