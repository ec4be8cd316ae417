import { type ColumnNode, OperationNodeTransformer, type RawNode, ReferenceNode, ValueNode } from 'kysely'
import { nodeCrypto } from '../platform/builtins.ts'
import { nativeNulls, type SqlDialect } from '../sql/statement.ts'
import { identifier, joined, raw } from './advisor-database.ts'
import type { IndexKey, TableNeed } from './index-need.ts'
import { columnOf } from './query-conditions.ts'

/** An index to create. */
interface IndexDefinition {
  readonly name: string
  /** The columns, without their directions. `undefined` stands for an expression. */
  readonly columns: readonly (string | undefined)[]
  /** `create index`, to be compiled. */
  readonly statement: RawNode
  /** The columns as Kysely's `createIndex` takes them; `undefined` when `createIndex` cannot create the index. */
  readonly kyselyColumns: readonly string[] | undefined
}

/**
 * The index that serves the need: the fixed columns, then the keys in their directions. PostgreSQL does not see that `is
 * null` leaves only one value. So there, such a filter becomes the condition of a partial index.
 */
export function indexFor({ fixed, keys, table: { table } }: TableNeed, dialect: SqlDialect): IndexDefinition {
  const nulls = fixed.filter(({ isNull }) => isNull && dialect === 'postgres')
  const partial = nulls.length === fixed.length && keys.length === 0 ? [] : nulls
  const first = [...new Set(fixed.filter((one) => !partial.includes(one)).map(({ column }) => column))]
  const keyColumns = keys.map(({ node }) => columnOf(node)?.column)
  const names = [
    ...first,
    ...keys.map(({ isDescending }, at) => `${keyColumns[at] ?? 'expression'}${isDescending ? '_desc' : ''}`),
    ...partial.map(({ column }) => `where_no_${column}`),
  ]
  const name = nameOf([table.table.identifier.name, ...new Set(names)].join('_'))
  // SQLite wants the schema before the name of the index, where Kysely does not write it.
  const schema = dialect === 'sqlite' ? table.table.schema : undefined
  const place =
    schema === undefined
      ? raw`${identifier(name)} on ${table}`
      : raw`${schema}.${identifier(name)} on ${table.table.identifier}`
  const columns = joined([...first.map(identifier), ...keys.map((key) => indexed(key, dialect))], ', ')
  const conditions = partial.map(({ column }) => raw`${identifier(column)} is null`)
  const where = conditions.length === 0 ? raw`` : raw` where ${joined(conditions, ' and ')}`
  const isPlain =
    schema === undefined &&
    partial.length === 0 &&
    [...first, ...keyColumns, table.table.identifier.name].every((one = '') => plainName.test(one)) &&
    !keys.some((key) => hasOwnNulls(key, dialect))
  const kyselyKeys = keys.map(({ isDescending }, at) => `${keyColumns[at]}${isDescending ? ' desc' : ''}`)
  return {
    name,
    columns: [...first, ...keyColumns],
    statement: raw`create index ${place} (${columns})${where}`,
    kyselyColumns: isPlain ? [...first, ...kyselyKeys] : undefined,
  }
}

/** A name of letters, digits and `_`. If it must be cut, it ends in a hash, so that it stays unique. */
function nameOf(columns: string): string {
  const words = columns.replace(/[^\p{L}\p{M}\p{N}_]+/gu, '_')
  if (Buffer.byteLength(words) <= maxName) return words
  const hash = nodeCrypto().hash('sha256', columns).slice(0, 8)
  const start = Buffer.from(words).toString('utf8', 0, maxName - 1 - hash.length)
  // The last letter may have been cut in half.
  return `${start.replace(/\uFFFD+$/, '')}_${hash}`
}

/** The shortest limit of all databases: PostgreSQL's, in bytes. */
const maxName = 63

/** In other names, Kysely's `createIndex` may see a direction or a schema, and code would have to escape characters. */
const plainName = /^[\p{L}\p{M}\p{N}_$]+$/u

function indexed(key: IndexKey, dialect: SqlDialect): RawNode {
  const column = columnOf(key.node)?.column
  const node = column === undefined ? raw`(${bare.transformNode(key.node)})` : identifier(column)
  const nulls = hasOwnNulls(key, dialect) ? ` nulls ${key.nulls}` : ''
  return raw(['', `${key.isDescending ? ' desc' : ''}${nulls}`], node)
}

/** Whether PostgreSQL's index must say where its NULLs stand. */
function hasOwnNulls({ nulls, isDescending }: IndexKey, dialect: SqlDialect): boolean {
  return dialect === 'postgres' && nulls !== nativeNulls(dialect, isDescending)
}

/** Writes an expression for use in an index: columns without their table, values in the text. */
class Bare extends OperationNodeTransformer {
  protected override transformReference(node: ReferenceNode): ReferenceNode {
    return ReferenceNode.create(node.column as ColumnNode)
  }

  protected override transformValue(node: ValueNode): ValueNode {
    return ValueNode.createImmediate(node.value)
  }
}

const bare = /* @__PURE__ */ new Bare()
