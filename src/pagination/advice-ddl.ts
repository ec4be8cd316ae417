import {
  IdentifierNode,
  type OperationNode,
  OperationNodeTransformer,
  RawNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
  type TableNode,
  ValueNode,
} from 'kysely'
import type { NamedTable, PageShape } from './advice.ts'
import { columnName } from './nodes.ts'
import { isNative } from './order.ts'
import type { OrderKey } from './ordered-query.ts'
import { joined, raw } from './raw.ts'
import type { Source } from './source.ts'
import type { SqlDialect } from './types.ts'

/**
 * The `create index` that makes pages of the shape a seek: the fixed columns, then the keys in their directions.
 * PostgreSQL does not see that `is null` leaves one value to order by, so there such a filter becomes the condition of a
 * partial index.
 */
export function indexFor({ fixed, keys }: PageShape, { table }: NamedTable, source: Source): string {
  const { dialect } = source
  const partial = fixed.filter(({ isNull }) => isNull && dialect === 'postgres')
  const first = fixed.filter((column) => !partial.includes(column))
  const columns = [
    ...unique(first.map(({ column }) => column)).map((column) => IdentifierNode.create(column)),
    ...keys.map((key) => indexed(key, dialect)),
  ]
  const names = [
    ...first.map(({ column }) => column),
    ...keys.map(({ node, descending }) => `${nameOf(node)}${descending ? '_desc' : ''}`),
    ...partial.map(({ column }) => `where_no_${column}`),
  ]
  const where = partial.map(({ column }) => raw`${IdentifierNode.create(column)} is null`)
  return createIndex(table, names, columns, where, source)
}

/** The `create index` by which a joined table is looked up. */
export function lookupIndexFor(shape: PageShape, name: string, source: Source): string | undefined {
  const lookup = shape.lookups.find((one) => one.name === name)
  if (lookup === undefined) return undefined
  const columns = unique(lookup.columns)
  const nodes = columns.map((column) => IdentifierNode.create(column))
  return createIndex(lookup.table, columns, nodes, [], source)
}

function createIndex(
  table: TableNode,
  names: readonly string[],
  columns: readonly OperationNode[],
  where: readonly OperationNode[],
  source: Source,
): string {
  // The shortest limit of a name among the databases is PostgreSQL's: 63 bytes.
  const name = [table.table.identifier.name, ...unique(names)].join('_').replace(/\W+/g, '_').slice(0, 63)
  const condition = where.length === 0 ? raw`` : raw` where ${joined(where, ' and ')}`
  const statement = raw`create index ${IdentifierNode.create(name)} on ${table} (${joined(columns, ', ')})${condition}`
  const selected = SelectQueryNode.cloneWithSelections(SelectQueryNode.create(), [
    SelectionNode.create(statement as never),
  ])
  // A query's compiler compiles queries alone.
  return source.compile(() => selected).replace(/^select /, '')
}

function indexed(key: OrderKey, dialect: SqlDialect): OperationNode {
  const column = ReferenceNode.is(key.node)
    ? IdentifierNode.create(columnName(key.node) as string)
    : raw`(${bare.transformNode(key.node)})`
  const direction = key.descending ? ' desc' : ''
  const nulls = dialect === 'postgres' && !isNative(key, dialect) ? ` nulls ${key.nulls}` : ''
  return RawNode.create(['', `${direction}${nulls}`], [column])
}

/** An expression as an index takes it: columns without their table, values in the text. */
class Bare extends OperationNodeTransformer {
  protected override transformReference(node: ReferenceNode): ReferenceNode {
    return ReferenceNode.create(node.column as never)
  }

  protected override transformValue(node: ValueNode): ValueNode {
    return ValueNode.createImmediate(node.value)
  }
}

const bare = new Bare()

function nameOf(node: OperationNode): string {
  return ReferenceNode.is(node) ? (columnName(node) as string) : 'expression'
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)]
}
