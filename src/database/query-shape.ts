import type { RootOperationNode } from 'kysely'
import type { QueryOperation } from './types.ts'

/** What all runs of a query have in common, whatever their values and the length of their lists. */
export interface QueryShape {
  readonly text: string
  readonly operation: QueryOperation
  /** Tables read or written, without their schema. */
  readonly tables: readonly string[]
  /** Tables changed. */
  readonly writes: readonly string[]
}

/** The text of a shape: placeholders without numbers, lists of values and rows folded into `(...)`. */
export function shapeText(sql: string): string {
  return sql
    .replace(/\$\d+|@\d+/g, '?')
    .replace(/\bin \(\?(?:, \?)*\)/g, 'in (...)')
    .replace(/\bvalues \([^()]*\)(?:, \([^()]*\))*/g, 'values (...)')
}

/** Whether one statement does the work of many: a list of values or several rows. */
export function isBatch(sql: string): boolean {
  return /\bin \([?$@]\d*, |\bvalues \([^()]*\), \(/.test(sql)
}

/** Reads operation and tables off the query's own syntax tree; for raw SQL only its first word. */
export function describeQuery(query: RootOperationNode, sql: string): Omit<QueryShape, 'text'> {
  const tables = new Set<string>()
  const writes = new Set<string>()
  const temporary = new Set<string>()
  visit(query, tables, writes, temporary)
  for (const name of temporary) tables.delete(name)
  return { operation: operations[query.kind] ?? operationOfSql(sql), tables: [...tables], writes: [...writes] }
}

const operations: { readonly [Kind in RootOperationNode['kind']]?: QueryOperation } = {
  SelectQueryNode: 'select',
  InsertQueryNode: 'insert',
  UpdateQueryNode: 'update',
  DeleteQueryNode: 'delete',
  MergeQueryNode: 'merge',
}

function operationOfSql(sql: string): QueryOperation {
  const word = /^[\s(]*([a-z]+)/i.exec(sql)?.[1]?.toLowerCase()
  return word === 'select' || word === 'insert' || word === 'update' || word === 'delete' || word === 'merge'
    ? word
    : 'other'
}

/** Where each kind of statement names the table it changes, in Kysely's syntax tree. */
const targets: Readonly<Record<string, string>> = {
  InsertQueryNode: 'into',
  UpdateQueryNode: 'table',
  DeleteQueryNode: 'from',
  MergeQueryNode: 'into',
  AlterTableNode: 'table',
  DropTableNode: 'table',
}

function visit(value: unknown, tables: Set<string>, writes: Set<string>, temporary: Set<string>): void {
  if (typeof value !== 'object' || value === null || value instanceof Date || ArrayBuffer.isView(value)) return
  if (Array.isArray(value)) {
    for (const item of value) visit(item, tables, writes, temporary)
    return
  }
  const node = value as Node
  // A reference names an alias as often as a table, and values are none of our business.
  if (node.kind === 'ReferenceNode' || node.kind === 'ValueNode' || node.kind === 'PrimitiveValueListNode') return
  if (node.kind === 'TableNode') {
    tables.add(tableName(node))
    return
  }
  if (node.kind === 'CommonTableExpressionNameNode') {
    temporary.add(tableName(node.table as Node))
    return
  }
  const target = targets[node.kind]
  if (target !== undefined) visit(node[target], writes, writes, temporary)
  for (const field in node) visit(node[field], tables, writes, temporary)
}

interface Node {
  readonly kind: string
  readonly [field: string]: unknown
}

function tableName(node: Node): string {
  return (node.table as { readonly identifier: { readonly name: string } }).identifier.name
}
