/** A node of Kysely's operation tree. This module does not use Kysely's types, so its users need not load Kysely. */
export interface QueryNode {
  readonly kind: string
  readonly [field: string]: unknown
}

/**
 * Visits every node of a query's tree, parents first. Parameter values are not visited.
 *
 * @param visit - returns whether to visit the node's children
 */
export function walkQuery(root: object, visit: (node: QueryNode) => boolean): void {
  if (isNode(root) && !visit(root)) return
  for (const child of childrenOf(root)) walkQuery(child, visit)
}

/** Whether `root` or any node below it satisfies the condition. Sub-queries are not searched. */
export function someNode(root: object, matches: (node: QueryNode) => boolean): boolean {
  if (isNode(root)) {
    if (matches(root)) return true
    if (root.kind === 'SelectQueryNode') return false
  }
  return childrenOf(root).some((child) => someNode(child, matches))
}

/** The child nodes of a node or a list, and the lists of child nodes. */
function childrenOf(parent: object): object[] {
  // These hold the user's values, which may be large and of any shape.
  if (isNode(parent) && (parent.kind === 'ValueNode' || parent.kind === 'PrimitiveValueListNode')) return []
  return Object.values(parent).filter((child) => Array.isArray(child) || isNode(child))
}

function isNode(value: unknown): value is QueryNode {
  return typeof value === 'object' && value !== null && typeof (value as { kind?: unknown }).kind === 'string'
}
