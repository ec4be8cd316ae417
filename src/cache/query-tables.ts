/** What {@link queryTables} found in a query's syntax tree. */
export interface QueryTables {
  /** Every table it reads, without schema; no alias, and no name of a common table expression. */
  readonly tables: readonly string[]
  /** Whether parts of it are raw SQL, which may read anything. */
  readonly hasRawSql: boolean
}

interface Node {
  readonly kind?: string
  readonly [field: string]: unknown
}

/** The tables of a Kysely query: in joins, subqueries, unions and common table expressions too. */
export function queryTables(query: object): QueryTables {
  const visit = new Visit()
  visit.node(query, new Set())
  return { tables: [...visit.tables], hasRawSql: visit.hasRawSql }
}

class Visit {
  readonly tables = new Set<string>()
  hasRawSql = false

  /** @param hidden - names that mean a common table expression here, not a table */
  node(value: unknown, hidden: ReadonlySet<string>): void {
    if (typeof value !== 'object' || value === null || value instanceof Date || ArrayBuffer.isView(value)) return
    if (Array.isArray(value)) {
      for (const item of value) this.node(item, hidden)
      return
    }
    const node = value as Node
    switch (node.kind) {
      // A reference names an alias as often as a table; the table itself stands in a `from` or a `join`.
      case 'ReferenceNode':
      case 'ValueNode':
      case 'PrimitiveValueListNode':
        return
      case 'RawNode':
        this.hasRawSql = true
        break
      case 'TableNode':
        this.#table(node, hidden)
        return
    }
    const inner = node.with === undefined ? hidden : this.#expressions(node.with as Node, hidden)
    for (const field in node) {
      if (field !== 'with') this.node(node[field], inner)
    }
  }

  #table(node: Node, hidden: ReadonlySet<string>): void {
    const { schema, identifier } = node.table as {
      readonly schema?: unknown
      readonly identifier: { readonly name: string }
    }
    if (schema !== undefined || !hidden.has(identifier.name)) this.tables.add(identifier.name)
  }

  /** Visits a `with`, and returns the names that are hidden behind it: each from the expression after its own on. */
  #expressions(withNode: Node, hidden: ReadonlySet<string>): ReadonlySet<string> {
    const names = new Set(hidden)
    const expressions = withNode.expressions as readonly Node[]
    if (withNode.recursive === true) for (const expression of expressions) names.add(expressionName(expression))
    for (const expression of expressions) {
      this.node(expression.expression, names)
      names.add(expressionName(expression))
    }
    return names
  }
}

function expressionName(node: Node): string {
  const name = node.name as { readonly table: { readonly table: { readonly identifier: { readonly name: string } } } }
  return name.table.table.identifier.name
}
