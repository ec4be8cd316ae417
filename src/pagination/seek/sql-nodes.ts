import {
  AliasNode,
  AndNode,
  BinaryOperationNode,
  type ColumnNode,
  type CommonTableExpressionNode,
  IdentifierNode,
  type LimitNode,
  type OperationNode,
  OperatorNode,
  type OrderByNode,
  ParensNode,
  RawNode,
  ReferenceNode,
  type SelectionNode,
  type SelectQueryNode,
  type TableNode,
  type ValueNode,
} from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'

// Nodes are written as literals: Kysely's factories freeze what they make, which takes a tenth of a page's time.

/** How the query's compiler writes SQL. */
export interface SqlStyle {
  readonly dialect: SqlDialect
  /**
   * The quote around names; `undefined` when the compiler quotes otherwise than its dialect, and so must write all names.
   */
  readonly quote: string | undefined
}

/**
 * SQL text around nodes, as one node. The text of raw nodes is merged into it, so that the compiler visits fewer nodes.
 */
export function raw(strings: readonly string[], ...nodes: readonly OperationNode[]): RawNode {
  return merged(strings, nodes)
}

function merged(strings: readonly string[], nodes: readonly OperationNode[]): RawNode {
  let sql = strings[0] as string
  const sqlFragments: string[] = []
  const parameters: OperationNode[] = []
  for (let at = 0; at < nodes.length; at++) {
    const node = nodes[at] as OperationNode
    if (RawNode.is(node)) {
      for (let part = 0; part < node.sqlFragments.length; part++) {
        sql += node.sqlFragments[part]
        if (part >= node.parameters.length) continue
        sqlFragments.push(sql)
        parameters.push(node.parameters[part] as OperationNode)
        sql = ''
      }
    } else {
      sqlFragments.push(sql)
      parameters.push(node)
      sql = ''
    }
    sql += strings[at + 1]
  }
  sqlFragments.push(sql)
  return { kind: 'RawNode', sqlFragments, parameters }
}

/** The nodes with a separator between them. */
export function joined(nodes: readonly OperationNode[], separator: string): OperationNode {
  if (nodes.length === 1) return nodes[0] as OperationNode
  const strings = ['']
  for (let at = 1; at < nodes.length; at++) strings.push(separator)
  strings.push('')
  return merged(strings, nodes)
}

export function parameter(value: unknown): ValueNode {
  return { kind: 'ValueNode', value }
}

/** How many parameters a statement may have, by the protocols of PostgreSQL and MySQL, and the defaults of SQLite and SQL Server. */
export const maxParameters: { readonly [Dialect in SqlDialect]: number } = {
  postgres: 65_535,
  mysql: 65_535,
  sqlite: 32_766,
  mssql: 2_100,
}

/** How many parameters the compiler makes of the nodes. */
export function countParameters(nodes: readonly unknown[] = []): number {
  let count = 0
  for (let at = 0; at < nodes.length; at++) count += parametersIn(nodes[at])
  return count
}

function parametersIn(node: unknown): number {
  if (typeof node !== 'object' || node === null) return 0
  if (Array.isArray(node)) return countParameters(node)
  const fields = node as Record<string, unknown>
  switch (fields.kind) {
    case 'ValueNode':
      return 1
    case 'PrimitiveValueListNode':
      return (fields.values as unknown[]).length
    case 'RawNode':
      return countParameters(fields.parameters as unknown[])
    case 'ReferenceNode':
    case 'TableNode':
    case 'OperatorNode':
      return 0
  }
  let count = 0
  for (const name in fields) count += parametersIn(fields[name])
  return count
}

/** The expression inside parentheses, or inside raw SQL that adds no text. */
export function unwrap(node: OperationNode): OperationNode {
  if (ParensNode.is(node)) return unwrap(node.node)
  if (!RawNode.is(node) || node.parameters.length !== 1) return node
  return node.sqlFragments.join('').trim() === '' ? unwrap(node.parameters[0] as OperationNode) : node
}

/** The text of raw SQL and of raw SQL within it, with a question mark for any other expression. */
export function rawText({ sqlFragments, parameters }: RawNode): string {
  const parts = parameters.map((node, at) => (RawNode.is(node) ? rawText(node) : '?') + sqlFragments[at + 1])
  return sqlFragments[0] + parts.join('')
}

/** SQL text without parameters. */
export function sqlText(sql: string): RawNode {
  return { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
}

/**
 * The node for use in a statement. A column's name becomes finished text, which takes no time to compile. Any other
 * expression goes into parentheses.
 */
export function toSql(node: OperationNode, quote: SqlStyle['quote']): RawNode {
  if (!ReferenceNode.is(node)) return raw`(${node})`
  return quote === undefined ? raw`${node}` : sqlText(columnText(node, quote))
}

export function columnText(node: ReferenceNode, quote: string): string {
  const name = quoted(columnName(node) as string, quote)
  if (node.table === undefined) return name
  const { schema, identifier } = node.table.table
  const table = `${quoted(identifier.name, quote)}.${name}`
  return schema === undefined ? table : `${quoted(schema.name, quote)}.${table}`
}

export function quoted(name: string, quote: string): string {
  return quote + (name.includes(quote) ? name.replaceAll(quote, quote + quote) : name) + quote
}

/** Compiles the names of columns to text once, because a statement may have them in several branches. */
export function columnsAsText(
  columns: readonly SelectionNode[] | undefined,
  quote: SqlStyle['quote'],
): readonly SelectionNode[] | undefined {
  if (quote === undefined || columns === undefined) return columns
  const selections: SelectionNode[] = []
  let text = ''
  for (const selection of columns) {
    const { selection: node } = selection
    if (ReferenceNode.is(node) && node.column.kind === 'ColumnNode') {
      text += text === '' ? columnText(node, quote) : `, ${columnText(node, quote)}`
      continue
    }
    if (text !== '') selections.push(columnList([sqlText(text)]))
    text = ''
    selections.push(selection)
  }
  if (text !== '') selections.push(columnList([sqlText(text)]))
  return selections
}

/** Compiles comparisons with columns to text around their values, because a statement may have them in several branches. */
export function conditionAsText(condition: OperationNode, quote: SqlStyle['quote']): OperationNode {
  if (quote === undefined) return condition
  if (AndNode.is(condition)) {
    return raw`${conditionAsText(condition.left, quote)} and ${conditionAsText(condition.right, quote)}`
  }
  if (!BinaryOperationNode.is(condition)) return condition
  const { leftOperand: column, operator, rightOperand } = condition
  if (!ReferenceNode.is(column) || !OperatorNode.is(operator) || !plainOperators.has(operator.operator))
    return condition
  return raw([`${columnText(column, quote)} ${operator.operator} `, ''], rightOperand)
}

const plainOperators = /* @__PURE__ */ new Set<string>(['=', '!=', '<>', '<', '<=', '>', '>=', 'is', 'is not', 'in'])

/** Text that is equal for equal expressions: `schema.table.column` of a column. */
export function nodeKey(node: OperationNode): string {
  if (!ReferenceNode.is(node))
    return JSON.stringify(node, (_key, value) => (typeof value === 'bigint' ? `${value}n` : value))
  const column = columnName(node) ?? '*'
  if (node.table === undefined) return column
  const { schema, identifier } = node.table.table
  return schema === undefined ? `${identifier.name}.${column}` : `${schema.name}.${identifier.name}.${column}`
}

/** The column of a reference; `undefined` for `table.*`. */
export function columnName({ column }: ReferenceNode): string | undefined {
  return column.kind === 'ColumnNode' ? (column as ColumnNode).column.name : undefined
}

/** The name of the result's column that the selection makes, if the selection says it. */
export function selectionName({ selection }: SelectionNode): string | undefined {
  if (AliasNode.is(selection)) return IdentifierNode.is(selection.alias) ? selection.alias.name : undefined
  return ReferenceNode.is(selection) ? columnName(selection) : undefined
}

/** The selected expression without its alias. */
export function selectedNode({ selection }: SelectionNode): OperationNode {
  return AliasNode.is(selection) ? selection.node : selection
}

/** The expression as a column of the result. Our names need no quotes in any dialect. */
export function asColumn(node: OperationNode, name: string): OperationNode {
  return raw(['', ` as ${name}`], node)
}

/** A table that our statement reads. It is a node, because `instrument` does not look for tables in raw SQL. */
export function tableNode(name: string): TableNode {
  const identifier = { kind: 'IdentifierNode', name } as const
  return { kind: 'TableNode', table: { kind: 'SchemableIdentifierNode', identifier } }
}

/** `name as (expression)`, for a `with`. */
export function commonTable(name: string, expression: OperationNode): CommonTableExpressionNode {
  const table = { kind: 'CommonTableExpressionNameNode', table: tableNode(name) } as const
  return { kind: 'CommonTableExpressionNode', name: table, expression }
}

/** Columns as one selection. */
export function columnList(columns: readonly OperationNode[]): SelectionNode {
  return { kind: 'SelectionNode', selection: joined(columns, ', ') as SelectionNode['selection'] }
}

/** The clauses that the statement of a page adds to the user's query. */
export interface Clauses {
  /** Columns to add after those of the query. */
  readonly columns: readonly OperationNode[]
  /** Replaces the query's condition. */
  readonly condition?: OperationNode | undefined
  readonly orderBy: OrderByNode
  readonly limit: number
}

/**
 * Adds all clauses at once, because each copy of the query's node takes time. Kysely treats a clause that is `undefined`
 * as absent; to leave the property out would take longer.
 */
export function withClauses(query: SelectQueryNode, clauses: Clauses, dialect: SqlDialect): SelectQueryNode {
  const { columns, condition, orderBy, limit } = clauses
  const selections = [...(query.selections ?? []), columnList(columns)]
  const where = condition === undefined ? query.where : { kind: 'WhereNode', where: condition }
  const node =
    dialect === 'mssql'
      ? { ...query, selections, where, orderBy, top: { kind: 'TopNode', expression: limit } }
      : { ...query, selections, where, orderBy, limit: limitNode(limit) }
  return node as SelectQueryNode
}

/** The query with this column instead of its own columns. */
export function withOnlyColumn(query: SelectQueryNode, column: OperationNode): SelectQueryNode {
  return { ...query, selections: [columnList([column])] }
}

export function limitNode(limit: number): LimitNode {
  return { kind: 'LimitNode', limit: parameter(limit) }
}

export function withLimit(query: SelectQueryNode, dialect: SqlDialect, limit: number, offset = 0): SelectQueryNode {
  if (dialect === 'mssql') {
    if (offset === 0) return { ...query, top: { kind: 'TopNode', expression: limit } }
    const fetch = { kind: 'FetchNode', rowCount: parameter(limit), modifier: 'only' } as const
    return { ...query, offset: { kind: 'OffsetNode', offset: parameter(offset) }, fetch }
  }
  const node: SelectQueryNode = { ...query, limit: limitNode(limit) }
  return offset === 0 ? node : { ...node, offset: { kind: 'OffsetNode', offset: parameter(offset) } }
}
