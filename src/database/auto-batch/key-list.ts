import {
  AliasNode,
  AndNode,
  BinaryOperationNode,
  type ColumnNode,
  CompiledQuery,
  IdentifierNode,
  type OperationNode,
  OperatorNode,
  OrderByItemNode,
  ParensNode,
  type QueryCompiler,
  RawNode,
  ReferenceNode,
  type SelectQueryNode,
  ValueNode,
  WhereNode,
} from 'kysely'
import { conditionsOf, namedTable } from '../../shared/index-advice/query-conditions.ts'
import type { Execute } from '../execute.ts'
import { compileAround, type JoinedSql, placeholder, withNumber } from './join-plan.ts'

type Compile = QueryCompiler['compileQuery']

/**
 * `select …, cast(id as char) as n from … where id in (1, 2, …)`: reads rows of one table by an integer in a fraction of the
 * time that MySQL takes for a union. The integer in a row tells to which lookups it belongs.
 */
export class KeyList {
  readonly #table: TableName
  readonly #keys: readonly Key[]
  readonly #order: readonly string[]
  readonly #hasLimit: boolean
  #columns: ReadonlyMap<string, Column> = new Map()

  private constructor(node: SelectQueryNode, table: TableName, keys: readonly Key[]) {
    this.#table = table
    this.#keys = keys
    this.#order = orderColumns(node)
    this.#hasLimit = node.limit !== undefined
  }

  /** @returns `undefined` when the query's text shows that it cannot be read in this way */
  static of(query: CompiledQuery, compile: Compile): KeyList | undefined {
    const node = query.query as SelectQueryNode
    const table = onlyTable(node)
    if (table === undefined || !readsPlainRows(node)) return undefined
    const keys = comparisons(node.where?.where)
      .map((comparison) => keyOf(query, comparison, compile))
      .filter((key) => key !== undefined)
    return keys.length === 0 ? undefined : new KeyList(node, table, keys)
  }

  /** Reads the types and the unique indexes of the table. For a view, the catalogue has none. */
  async learn(execute: Execute): Promise<void> {
    const { schema, name } = this.#table
    const where = `where table_schema = ${schema === undefined ? 'database()' : '?'} and table_name = ?`
    const parameters = schema === undefined ? [name] : [schema, name]
    // MySQL may ignore the case of the table's name, so rows of another name are dropped.
    const read = async (sql: string) => {
      const { rows } = await execute(CompiledQuery.raw(`${sql} ${where}`, parameters))
      return (rows as Record<string, unknown>[]).filter(({ t }) => t === name)
    }
    const columns = await read(
      'select table_name as t, column_name as c, column_type as type, is_nullable as nullable from information_schema.columns',
    )
    const indexes = await read(
      'select table_name as t, column_name as c, index_name as i, non_unique as nonunique from information_schema.statistics',
    )
    const unique = new Set<string>()
    for (const [first, second] of Map.groupBy(indexes, ({ i }) => i).values()) {
      if (second === undefined && Number(first?.nonunique) === 0) unique.add(String(first?.c).toLowerCase())
    }
    this.#columns = new Map(
      columns.map(({ c, type, nullable }) => {
        const column = String(c).toLowerCase()
        const isUnique = nullable === 'NO' && unique.has(column)
        return [column, { isInteger: integerType.test(String(type)), isUnique }]
      }),
    )
  }

  /** @returns `undefined` when these lookups differ in anything but one integer */
  join(lookups: readonly CompiledQuery[]): JoinedSql | undefined {
    const { parameters } = lookups[0] as CompiledQuery
    const varying = parameters.flatMap((value, position) =>
      lookups.every((lookup) => Object.is(lookup.parameters[position], value)) ? [] : [position],
    )
    const key = this.#keys.find(
      ({ position, column }) => varying.every((other) => other === position) && this.#canList(column),
    )
    if (key === undefined) return undefined
    const values = lookups.map((lookup) => lookup.parameters[key.position])
    const wanted = new Set(values.filter((value) => value !== null))
    if (wanted.size === 0 || ![...wanted].every(isPlainInteger)) return undefined
    const { before, after, position, parametersAfter } = key
    const rest = parameters.slice(position + 1)
    if (this.#hasLimit && !isAtLeastOne(rest[parametersAfter])) return undefined
    return {
      sql: `${before}(${Array(wanted.size).fill('?').join(', ')})${after}`,
      parameters: [...parameters.slice(0, position), ...wanted, ...rest.slice(0, parametersAfter)],
      // A lookup of NULL finds no rows: no row has the key `'null'`.
      keys: values.map(String),
    }
  }

  /**
   * The rows of each lookup must come in the order of the separate query. That needs a unique key, or an order without
   * ties.
   */
  #canList(name: string): boolean {
    const column = this.#columns.get(name)
    if (column === undefined || !column.isInteger) return false
    if (column.isUnique) return true
    return !this.#hasLimit && this.#order.some((other) => this.#columns.get(other)?.isUnique)
  }
}

interface TableName {
  readonly schema: string | undefined
  readonly name: string
}

interface Column {
  readonly isInteger: boolean
  /** Whether no two rows have the same value. A column that may be NULL is not unique. */
  readonly isUnique: boolean
}

/**
 * A column that is compared with a parameter, and the query's text before and after the list that replaces the
 * comparison.
 */
interface Key {
  readonly column: string
  readonly position: number
  readonly before: string
  readonly after: string
  readonly parametersAfter: number
}

const integerType = /^(?:tiny|small|medium|big)?int\b(?!.*zerofill)/

function onlyTable({ from }: SelectQueryNode): TableName | undefined {
  const [first, second] = from?.froms ?? []
  const [named] = first === undefined || second !== undefined ? [] : namedTable(first)
  if (named === undefined) return undefined
  const { schema, identifier } = named.table.table
  return { schema: schema?.name, name: identifier.name }
}

const plainParts = new Set(['kind', 'from', 'selections', 'where', 'orderBy', 'limit'])

/** Whether each row of the result is one row of the table, and does not depend on other rows. */
function readsPlainRows(node: SelectQueryNode): boolean {
  if (!Object.entries(node).every(([part, value]) => value === undefined || plainParts.has(part))) return false
  if (node.limit !== undefined && !isParameter(node.limit.limit)) return false
  return (node.selections ?? []).every(({ selection }) => {
    const { kind } = AliasNode.is(selection) ? selection.node : selection
    return kind === 'SelectAllNode' || kind === 'ReferenceNode'
  })
}

/** The table's columns in the query's order, in lower case. Columns that an alias hides are left out. */
function orderColumns({ orderBy, selections = [] }: SelectQueryNode): string[] {
  const aliases = selections.map(({ selection }) =>
    AliasNode.is(selection) && IdentifierNode.is(selection.alias) ? selection.alias.name.toLowerCase() : undefined,
  )
  return (orderBy?.items ?? []).flatMap((item) => {
    const column = OrderByItemNode.is(item) ? columnOf(item.orderBy) : undefined
    return column === undefined || aliases.includes(column) ? [] : [column]
  })
}

/** Raw SQL does not count: what it quotes may be a text. */
function columnOf(node: OperationNode): string | undefined {
  if (!ReferenceNode.is(node) || node.column.kind !== 'ColumnNode') return undefined
  return (node.column as ColumnNode).column.name.toLowerCase()
}

/** The conditions `column = ?` that every row must meet. */
function comparisons(condition: OperationNode | undefined): BinaryOperationNode[] {
  return conditionsOf(condition).filter((part): part is BinaryOperationNode => {
    if (!BinaryOperationNode.is(part) || !OperatorNode.is(part.operator) || part.operator.operator !== '=') return false
    return columnOf(part.leftOperand) !== undefined && isParameter(part.rightOperand)
  })
}

function isParameter(node: OperationNode): boolean {
  return ValueNode.is(node) && node.immediate !== true
}

/** Compiles the query with a placeholder for the list, with the number as one more column, and without its limit. */
function keyOf(query: CompiledQuery, comparison: BinaryOperationNode, compile: Compile): Key | undefined {
  const node = query.query as SelectQueryNode
  const list = {
    ...comparison,
    operator: OperatorNode.create('in'),
    rightOperand: RawNode.createWithSql(placeholder),
  }
  const number = RawNode.create(['cast(', ' as char)'], [comparison.leftOperand])
  const where = WhereNode.create(withCondition((node.where as WhereNode).where, comparison, list))
  const { limit: _, ...rest } = node
  const parts = compileAround(withNumber({ ...rest, where }, number), query, compile)
  if (parts === undefined) return undefined
  const column = columnOf(comparison.leftOperand) as string
  return { column, position: countParameters(parts.before), ...parts, parametersAfter: countParameters(parts.after) }
}

/** The condition with one of its comparisons replaced. */
function withCondition(condition: OperationNode, replaced: OperationNode, by: OperationNode): OperationNode {
  if (condition === replaced) return by
  const inner = (part: OperationNode) => withCondition(part, replaced, by)
  if (ParensNode.is(condition)) return ParensNode.create(inner(condition.node))
  return AndNode.is(condition) ? AndNode.create(inner(condition.left), inner(condition.right)) : condition
}

/** No name or text of these queries holds a question mark. */
function countParameters(sql: string): number {
  return sql.split('?').length - 1
}

/** A value that MySQL compares as an integer, and writes as JavaScript does. */
function isPlainInteger(value: unknown): value is number | bigint {
  return typeof value === 'bigint'
    ? value >= 0n && value < 2n ** 63n
    : Number.isSafeInteger(value) && (value as number) >= 0
}

function isAtLeastOne(value: unknown): boolean {
  return (typeof value === 'number' || typeof value === 'bigint') && value >= 1
}
