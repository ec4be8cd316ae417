import { type QueryNode, someNode, walkQuery } from './query-tree.ts'

/** Names of tables, without their schema. */
export interface QueryTables {
  /** The tables that the query reads or changes, without aliases and common table expressions. */
  readonly tables: readonly string[]
  /** The tables that the query changes. */
  readonly writes: readonly string[]
  /** Whether the query contains raw SQL, which may use any table. */
  readonly hasRawSql: boolean
}

/** Finds the tables of a query, including those in joins, sub-queries, unions and common table expressions. */
export function queryTables(query: object): QueryTables {
  const tables = new Set<string>()
  const writes = new Set<string>()
  let hasRawSql = false

  /** @param hidden - names that are common table expressions here, not tables */
  const read = (root: object, hidden: ReadonlySet<string>): void =>
    walkQuery(root, (node) => {
      // A reference may name an alias. Each table also appears in a `from` or a `join`.
      if (node.kind === 'ReferenceNode') return false
      if (node.kind === 'RawNode') hasRawSql = true
      if (node.kind === 'TableNode') {
        const { schema, identifier } = node.table as TableName
        if (schema !== undefined || !hidden.has(identifier.name)) tables.add(identifier.name)
        return false
      }
      const aliases = aliasesOfDelete(node)
      for (const { schema, identifier } of targetsOf(node)) {
        const table = (schema === undefined && aliases.get(identifier.name)) || identifier.name
        writes.add(table)
        tables.add(table)
      }
      if (aliases.size > 0) {
        // `from` only names aliases here. The other fields name the tables.
        const { from: _, ...rest } = node
        read(rest, hidden)
        return false
      }
      if (node.with === undefined) return true
      const { with: expressions, ...rest } = node
      read(rest, readExpressions(expressions as WithNode, hidden))
      return false
    })

  /**
   * Reads a `with`, and returns the names that it hides. An expression sees those before it; with `recursive`, it sees
   * all.
   */
  const readExpressions = ({ expressions, recursive }: WithNode, hidden: ReadonlySet<string>): ReadonlySet<string> => {
    const names = new Set(hidden)
    if (recursive) for (const { name } of expressions) names.add(name.table.table.identifier.name)
    for (const { name, expression } of expressions) {
      read(expression, names)
      names.add(name.table.table.identifier.name)
    }
    return names
  }

  read(query, new Set())
  return { tables: [...tables], writes: [...writes], hasRawSql }
}

const isAlias = ({ kind }: QueryNode) => kind === 'AliasNode'

/**
 * The tables by their aliases. In MySQL, a DELETE may name its tables by aliases of `using`. In PostgreSQL, its table has
 * its own alias.
 */
function aliasesOfDelete({ kind, from, using, joins }: QueryNode): ReadonlyMap<string, string> {
  const tables = new Map<string, string>()
  if (kind !== 'DeleteQueryNode' || !from || !using || someNode(from, isAlias)) return tables
  for (const source of [using, joins]) {
    if (typeof source !== 'object' || source === null) continue
    walkQuery(source, (node) => {
      const { name } = (node.kind === 'AliasNode' ? node.alias : {}) as { readonly name?: string }
      const aliased = node.node as QueryNode | undefined
      if (name !== undefined && aliased?.kind === 'TableNode')
        tables.set(name, (aliased.table as TableName).identifier.name)
      return node.kind !== 'SelectQueryNode'
    })
  }
  return tables
}

interface TableName {
  readonly schema?: unknown
  readonly identifier: { readonly name: string }
}

interface WithNode {
  readonly recursive?: boolean
  readonly expressions: readonly {
    readonly name: { readonly table: { readonly table: TableName } }
    readonly expression: object
  }[]
}

/** The field in which each kind of statement names the table that it changes. */
const targetFields: Readonly<Record<string, string>> = {
  InsertQueryNode: 'into',
  UpdateQueryNode: 'table',
  DeleteQueryNode: 'from',
  MergeQueryNode: 'into',
  AlterTableNode: 'table',
  DropTableNode: 'table',
  CreateViewNode: 'name',
  RefreshMaterializedViewNode: 'name',
  DropViewNode: 'name',
}

/** The tables that a statement changes: several if MySQL joins or lists them. */
function targetsOf(node: QueryNode): readonly TableName[] {
  const field = targetFields[node.kind]
  const target = field === undefined ? undefined : node[field]
  if (typeof target !== 'object' || target === null) return []
  const targets: TableName[] = []
  walkQuery(target, (inner) => {
    if (inner.kind === 'SchemableIdentifierNode') targets.push(inner as object as TableName)
    return inner.kind !== 'SelectQueryNode'
  })
  return targets
}
