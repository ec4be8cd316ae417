import { AliasNode, IdentifierNode, type OperationNode, RawNode, type RootOperationNode } from 'kysely'
import type { SqlDialect } from '../sql/statement.ts'

export type Row = Record<string, unknown>

/** The database for which an index is advised. Only catalogs, plans and counts are read from it. */
export interface AdvisorDatabase {
  readonly dialect: SqlDialect
  read(query: RootOperationNode): Promise<Row[]>
  /** The SQL of a statement, in the database's dialect. */
  compile(query: RootOperationNode): string
}

/** SQL text around nodes, as one node. */
export function raw(strings: readonly string[], ...nodes: readonly OperationNode[]): RawNode {
  return RawNode.create([...strings], [...nodes])
}

/** The conditions, joined by AND; `true` when there are none. */
export function allOf(conditions: readonly OperationNode[]): RawNode {
  if (conditions.length === 0) return raw`1 = 1`
  return raw`(${joined(conditions, ') and (')})`
}

/** The nodes with a separator between them. */
export function joined(nodes: readonly OperationNode[], separator: string): RawNode {
  const between = nodes.slice(1).map(() => separator)
  return RawNode.create(['', ...between, ''], [...nodes])
}

export function identifier(name: string): IdentifierNode {
  return IdentifierNode.create(name)
}

/** A query as a table. */
export function derived(query: OperationNode, name: string): AliasNode {
  return AliasNode.create(query, identifier(name))
}
