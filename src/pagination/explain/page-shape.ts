import { BinaryOperationNode, type JoinNode, type OperationNode, ReferenceNode, ValueNode } from 'kysely'
import type { FixedColumn, TableNeed } from '../../shared/index-advice/index-need.ts'
import { isColumn } from '../../shared/index-advice/index-need.ts'
import {
  columnOf,
  comparisonOf,
  conditionsOf,
  equalityOf,
  type NamedTable,
  namedTable,
  tablesOf,
} from '../../shared/index-advice/query-conditions.ts'
import { someNode } from '../../shared/sql/query-tree.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { seekStrategy } from '../seek/seek-statement.ts'
import { isNative, type OrderKey, type ResolvedQuery } from '../seek/sort-keys.ts'

/** What the query itself tells about the table that its pages are read from. */
export interface PageShape {
  /** The table whose rows the keys order, and its name in the query. */
  readonly driving: NamedTable | undefined
  /** All tables of the query, that one included. */
  readonly tables: readonly NamedTable[]
  /** Columns of that table that the filters fix to one value, in the order of the filters. */
  readonly fixed: readonly FixedColumn[]
  /** The keys that are left to order by. */
  readonly keys: readonly OrderKey[]
  /** Tables that are looked up once per row, each with the columns of the lookup. */
  readonly lookups: readonly TableNeed[]
  /** Why the page cannot be a seek, whatever indexes exist. */
  readonly obstacle: string | undefined
  /** Why we cannot name an index for the page. */
  readonly unadvisable: string | undefined
}

/** Finds the table, the equalities and the keys that an index for the pages of the query is made of. */
export function shapeOf(resolved: ResolvedQuery, dialect: SqlDialect): PageShape {
  const { base, keys } = resolved
  const tables = tablesOf(base)
  const home = homeOf(keys, tables)
  const driving = tables.find(({ name }) => name === home)
  const filters = conditionsOf(base.where?.where)
  const fixed = filters.flatMap((filter) => fixedBy(filter))
  const left = keys.filter(({ node }) => !fixed.some(({ column }) => isColumn(node, column)))
  const lookups = (base.joins ?? []).flatMap((join) => lookupOf(join, tables))
  return { driving, tables, fixed, keys: left, lookups, obstacle: obstacle(), unadvisable: unadvisable() }

  function fixedBy(filter: OperationNode): FixedColumn[] {
    const comparison = comparisonOf(filter)
    const equality = comparison && equalityOf(comparison, dialect)
    if (equality === undefined || (comparison?.table ?? home) !== home) return []
    return [{ column: comparison?.column as string, isNull: equality === 'null' }]
  }

  /** Whether the filter cuts off one end of the list. A range of the index does the same, so no other rows are read. */
  function bounds(filter: OperationNode): boolean {
    const [comparison, first] = [comparisonOf(filter), left[0] && columnOf(left[0].node)]
    if (comparison === undefined || first === undefined) return false
    const same = comparison.column === first.column && (comparison.table ?? home) === (first.table ?? home)
    return same && ['<', '<=', '>', '>=', 'is not'].includes(comparison.operator)
  }

  function obstacle(): string | undefined {
    if (resolved.isGrouped) return 'its rows are made of several rows of the tables'
    if (filters.some((filter) => fixedBy(filter).length === 0 && !bounds(filter))) {
      return 'it has a filter that is not `column = value`, so rows are read that are not shown'
    }
    if (dialect !== 'postgres' && !keys.every((key) => isNative(key, dialect))) {
      return 'the NULLs of a key are to stand where no index of this database has them'
    }
    return dialect !== 'mysql' && seekStrategy(resolved, dialect) === 'or' ? 'it locks its rows' : undefined
  }

  function unadvisable(): string | undefined {
    if (driving === undefined) return 'it does not read from a table, but from a query'
    const isForeign = (part: OperationNode) => ReferenceNode.is(part) && (columnOf(part)?.table ?? home) !== home
    const foreign = keys.some(({ node }) => someNode(node, (part) => isForeign(part as OperationNode)))
    if (foreign) return 'its keys belong to more than one table'
    const isComputed = left.some(({ node }) => !ReferenceNode.is(node))
    if (isComputed && dialect !== 'postgres') return 'one of its keys is computed: keep its value in a column'
    const hasObject = left.some(({ node }) => someNode(node, (part) => isObject(part as OperationNode)))
    return hasObject ? 'one of its keys is computed from a list, bytes or an object' : undefined
  }
}

/** Whether the node is a parameter that cannot be a literal in the definition of an index. */
function isObject(node: OperationNode): boolean {
  return ValueNode.is(node) && Object(node.value) === node.value && !(node.value instanceof Date)
}

/** The table of the first key that names a table, or else the query's first table. */
function homeOf(keys: readonly OrderKey[], tables: readonly NamedTable[]): string | undefined {
  const names = keys.map(({ node }) => columnOf(node)?.table)
  return names.find((name) => name !== undefined) ?? tables[0]?.name
}

function lookupOf({ table, on }: JoinNode, tables: readonly NamedTable[]): TableNeed[] {
  const [named] = namedTable(table)
  const joined = tables.find((one) => one.table === named?.table)
  if (joined === undefined) return []
  const columns = conditionsOf(on?.on).flatMap((condition) => {
    if (!BinaryOperationNode.is(condition)) return []
    const sides = [condition.leftOperand, condition.rightOperand].flatMap((side) => columnOf(side) ?? [])
    const own = sides.find((side) => side.table === joined.name)
    return own === undefined ? [] : [{ column: own.column, isNull: false }]
  })
  return columns.length === 0 ? [] : [{ table: joined, fixed: columns, keys: [] }]
}
