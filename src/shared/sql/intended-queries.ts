const mark: unique symbol = Symbol('intended query')

/**
 * Marks the syntax tree of a query that we run repeatedly on purpose, such as for one page of many. That is not an N+1.
 *
 * @param node - the root node that is compiled; a frozen node is not marked
 */
export function markIntendedQuery(node: object): void {
  // Marked by a property: a WeakSet of all statements costs the garbage collector more time than the page takes.
  if (Object.isExtensible(node)) (node as { [mark]?: true })[mark] = true
}

/** Whether the query was marked by {@link markIntendedQuery}. */
export function isIntendedQuery(node: object): boolean {
  return mark in node
}
