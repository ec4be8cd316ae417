import {
  type AliasNode,
  IdentifierNode,
  type OperationNode,
  type OrderByNode,
  type ParensNode,
  SelectionNode,
  SelectQueryNode,
  type SetOperationNode,
  type WithNode,
} from 'kysely'
import type { SqlDialect } from '../../shared/sql/dialect.ts'
import { isDetailed, type Position } from '../key-text/key-text.ts'
import { keyTexts } from '../key-text/key-texts.ts'
import { databaseColumn } from '../key-text/mysql-catalog.ts'
import { isSurelyAt } from '../key-text/mysql-writing.ts'
import { onPageOnly } from '../key-text/postgres.ts'
import { isNoNumber, mayBeMixed } from '../key-text/sqlite-unions.ts'
import { proofColumns } from './hidden-columns.ts'
import { orderBy, orderTerms } from './order-by.ts'
import {
  branchesFrom,
  canEndInNull,
  compareRows,
  firstKeyFrom,
  isAt,
  type SeekStrategy,
  seekStrategy,
  unexpectedNullsFrom,
} from './seek-predicate.ts'
import { type OrderKey, type ResolvedQuery, reversed } from './sort-keys.ts'
import {
  asColumn,
  commonTable,
  countParameters,
  joined,
  limitNode,
  maxParameters,
  parameter,
  raw,
  sqlText,
  tableNode,
  withClauses,
  withOnlyColumn,
} from './sql-nodes.ts'

/**
 * Reads the row at the position and the rows after it, or the first rows of the order. Each row also has the text of its
 * keys, a proof that the keys keep their place, and a mark if it stands at the position. It may have the values of its
 * keys, and a mark if unexpected NULLs lie ahead.
 *
 * @param isWalkStart - On PostgreSQL, only the statement that starts a walk looks for NULLs in a first key that should
 *   have none: the search costs as much as a page.
 */
export function seekStatement(
  query: ResolvedQuery,
  dialect: SqlDialect,
  limit: number,
  position?: Position,
  isWalkStart: boolean = position === undefined,
): SelectQueryNode {
  const { base, keys } = query
  const text = keyTexts[dialect]
  const { list, texts, detailedTexts, values: keyValues, order, orderByValues } = keySqlOf(keys, dialect)
  const mixed = position === undefined ? [] : mixedColumns(query, position)
  const page = (columns: readonly OperationNode[], from?: OperationNode, orderBy = order) => {
    const condition = from && withOwnCondition(query, from)
    return withClauses(
      base,
      { columns: [isDetailed(query) ? detailedTexts() : texts, ...mixed, ...columns], condition, orderBy, limit },
      dialect,
    )
  }
  const strategy = fittingStrategy(query, dialect, isWalkStart)
  const checksFirstKeyOnce = dialect === 'postgres' && strategy !== 'or'
  if (position === undefined && dialect === 'mysql') return page([databaseColumn])
  if (position === undefined) return page(checksFirstKeyOnce ? nullChecks(query, dialect, position, true) : [])
  if (strategy === 'row') {
    const values = joined(
      position.map((value, at) => text.read(value as string, keys[at] as OrderKey)),
      ', ',
    )
    const mark = asColumn(onPageOnly(compareRows(list, '=', values)), 'posthastex0')
    const from = compareRows(list, keys[0]?.isDescending ? '<=' : '>=', values)
    return page([mark, ...nullChecks(query, dialect, position, isWalkStart)], from)
  }
  const mark = markOf(keys, position, dialect)
  const conditions = branchesFrom(keys, position, text, isWalkStart || !checksFirstKeyOnce)
  const isTooMany = dialect === 'sqlite' && (conditions.length > maxCompoundTerms || keysWithoutValues.has(keys))
  if (conditions.length === 1 || strategy === 'or' || isTooMany) {
    const condition = either(conditions)
    // Here all keys but the last are NULL in every row. MariaDB would sort the rows if the order named these keys too.
    if (conditions.length === 1 && dialect === 'mysql') {
      return page([mark], condition, keySqlOf(keys.slice(-1), dialect).order)
    }
    const bound = dialect === 'mssql' || dialect === 'sqlite' ? firstKeyFrom(keys, position, text) : undefined
    return page([mark], bound === undefined ? condition : raw`${bound} and ${condition}`)
  }
  const branches = conditions.map((condition, at) => page([at === 0 ? mark : notMarked, keyValues], condition))
  return { ...unionOf(branches, dialect, limit), orderBy: orderByValues, limit: limitNode(limit) }
}

/** The `or` form contains the query only once, so it fits whenever the query itself does. */
function fittingStrategy(query: ResolvedQuery, dialect: SqlDialect, isWalkStart: boolean): SeekStrategy {
  const strategy = seekStrategy(query, dialect)
  if (strategy === 'or') return strategy
  const { keys } = query
  const checked = keys.filter((key, at) => canEndInNull(key) && (at > 0 || isWalkStart))
  return fits(query, dialect, strategy === 'row' ? 1 + checked.length : 2 * keys.length) ? strategy : 'or'
}

/** Whether a statement may have the query's parameters so many times, each time with those of a cursor. */
function fits({ base, condition, keys }: ResolvedQuery, dialect: SqlDialect, times: number): boolean {
  if (times === 1) return true
  const { with: own, selections, from, joins } = base
  const count = countParameters([own, selections, from, joins, condition])
  return (count + 2 * keys.length + 1) * times <= maxParameters[dialect]
}

const keysWithoutValues = new WeakSet<readonly OrderKey[]>()

/**
 * Keeps the values of keys out of later statements in either direction. The cost: these read the rows with the same first
 * key again.
 *
 * @returns whether the values were in the statements until now
 */
export function withoutKeyValues(keys: readonly OrderKey[]): boolean {
  if (keysWithoutValues.has(keys)) return false
  keysWithoutValues.add(keys).add(reversed(keys))
  return true
}

/** Cloudflare D1 refuses a union of more branches. */
const maxCompoundTerms = 5

const notMarked = /* @__PURE__ */ sqlText('1 = 0 as posthastex0')

function markOf(keys: readonly OrderKey[], position: Position, dialect: SqlDialect): OperationNode {
  const condition = isAt(keys, position, keyTexts[dialect])
  if (dialect === 'postgres') return asColumn(onPageOnly(condition), 'posthastex0')
  if (dialect === 'mssql') return asColumn(raw`case when ${condition} then 1 else 0 end`, 'posthastex0')
  return dialect === 'mysql'
    ? raw`(${isSurelyAt(keys, condition)}) as posthastex0, ${joined(sessionColumns(keys), ', ')}`
    : asColumn(raw`(${condition})`, 'posthastex0')
}

/** The columns that tell the database of the statement, and the time zone if keys depend on it. */
function sessionColumns(keys: readonly OrderKey[]): OperationNode[] {
  return keys.some(({ type }) => type === 'zoned') ? [databaseColumn, zoneColumn] : [databaseColumn]
}

const zoneColumn = /* @__PURE__ */ sqlText('@@time_zone as posthastez0')

/**
 * Reads one row: whether rows stand before the position (`phb`) and at it (`phe`), and whether unexpected NULLs stand after
 * it (`posthasten0`, …). On PostgreSQL, `phb` has the keys of the row before, which tell their types.
 */
export function probeStatement(probed: ResolvedQuery, dialect: SqlDialect, position: Position): SelectQueryNode {
  const query = fits(probed, dialect, 3 * probed.keys.length + 1) ? probed : namedKeys(probed)
  const opposite = { ...query, keys: reversed(query.keys) }
  const branches = branchesFrom(opposite.keys, position, keyTexts[dialect])
  const conditions = query.isGrouped ? [either(branches)] : branches
  const [column] = dialect === 'postgres' ? keyTexts.postgres.columns(query.keys, false) : []
  const before = conditions.map((condition) => exists(opposite, dialect, condition, column))
  const found = before.length === 1 ? raw`${before[0] as OperationNode}` : raw`coalesce(${joined(before, ', ')})`
  const at = exists(query, dialect, isAt(query.keys, position, keyTexts[dialect]))
  const columns = [
    asColumn(found, 'phb'),
    asColumn(at, 'phe'),
    ...(dialect === 'mysql' ? sessionColumns(query.keys) : []),
    ...mixedColumns(query, position),
    ...nullChecks(query, dialect, position, true),
  ]
  return withOnlyColumn(SelectQueryNode.create(query.base.with), joined(columns, ', '))
}

/**
 * Makes the keys columns of a common table expression: a statement that reads them several times then has the query once.
 */
function namedKeys(query: ResolvedQuery): ResolvedQuery {
  const { from, joins, where, with: own } = query.base
  const columns = query.keys.map(({ sql }, at) => asColumn(sql, `posthastek${at}`))
  const rows = withOnlyColumn({ kind: 'SelectQueryNode', from, joins, where } as SelectQueryNode, joined(columns, ', '))
  const expressions = [...(own?.expressions ?? []), commonTable('posthastes', rows)]
  const base = selectAll(tableNode('posthastes'), { kind: 'WithNode', ...own, expressions })
  const keys = query.keys.map((key, at) => ({ ...key, sql: sqlText(`posthastek${at}`) }))
  return { ...query, base, condition: undefined, keys }
}

/** Reads the keys of the position back, as one row. The statement fails if the database cannot read a key. */
export function readKeysStatement(dialect: SqlDialect, keys: readonly OrderKey[], position: Position): SelectQueryNode {
  const columns = position.map((text, at) =>
    asColumn(text === null ? sqlText('null') : keyTexts[dialect].read(text, keys[at] as OrderKey), `posthastek${at}`),
  )
  return withOnlyColumn(SelectQueryNode.create(), joined(columns, ', '))
}

/** The query without the user's columns. */
export function withoutColumns(query: ResolvedQuery): ResolvedQuery {
  return { ...query, base: SelectQueryNode.cloneWithoutSelections(query.base) }
}

/** The SQL of keys that does not depend on the position. */
interface KeySql {
  readonly list: OperationNode
  readonly texts: OperationNode
  /** The texts for orders whose statements must be detailed. */
  detailedTexts(): OperationNode
  readonly values: OperationNode
  /** The terms of `order`. */
  readonly terms: OperationNode
  readonly order: OrderByNode
  /** `order` by the columns of `values`, for a union. */
  readonly orderByValues: OrderByNode
}

const keySqlByKeys = new WeakMap<readonly OrderKey[], KeySql>()

function keySqlOf(keys: readonly OrderKey[], dialect: SqlDialect): KeySql {
  const cached = keySqlByKeys.get(keys)
  if (cached !== undefined) return cached
  const sqls = keys.map((key) => key.sql)
  const valueNames = keys.map((_key, at) => sqlText(`posthasteo${at}`))
  const terms = orderTerms(keys, dialect)
  const textColumns = (isDetailed: boolean) =>
    joined([...keyTexts[dialect].columns(keys, isDetailed), ...proofColumns(keys, dialect)], ', ')
  const keySql = {
    list: joined(sqls, ', '),
    texts: textColumns(false),
    detailedTexts: () => textColumns(true),
    values: joined(
      sqls.map((sql, at) => asColumn(sql, `posthasteo${at}`)),
      ', ',
    ),
    terms,
    order: orderBy(terms),
    orderByValues: orderBy(orderTerms(keys, dialect, valueNames)),
  }
  keySqlByKeys.set(keys, keySql)
  return keySql
}

function nullChecks(
  query: ResolvedQuery,
  dialect: SqlDialect,
  position: Position | undefined,
  checkFirstKey: boolean,
): OperationNode[] {
  return unexpectedNullsFrom(query.keys, position, keyTexts[dialect], checkFirstKey).map(({ at, condition }) =>
    asColumn(exists(query, dialect, condition), `posthasten${at}`),
  )
}

/** A mark on each row, if the position is a number and the union also has other values. */
function mixedColumns(query: ResolvedQuery, position: Position): OperationNode[] {
  const { base, keys } = query
  if (!mayBeMixed(keys, position)) return []
  const found = withOwnCondition(query, isNoNumber(keys[0] as OrderKey))
  return [asColumn(raw`(select 1 as x ${tablesIn(base)} where ${found} limit 1)`, 'posthastem0')]
}

function tablesIn({ from, joins = [] }: SelectQueryNode): OperationNode {
  return from === undefined ? sqlText('') : joined([from, ...joins], ' ')
}

/**
 * Reads 1 or NULL. The order makes a planner without statistics take the index. Otherwise it may hope to meet a row
 * early.
 */
function exists(
  query: ResolvedQuery,
  dialect: SqlDialect,
  condition: OperationNode,
  column: OperationNode = one,
): OperationNode {
  const tables = tablesIn(query.base)
  const { terms } = keySqlOf(query.keys, dialect)
  const all = withOwnCondition(query, condition)
  return dialect === 'mssql'
    ? raw`(select top(1) ${column} ${tables} where ${all} order by ${terms})`
    : raw`(select ${column} ${tables} where ${all} order by ${terms} limit 1)`
}

const one = /* @__PURE__ */ sqlText('1 as x')

/** The user's own condition goes into parentheses, because raw SQL may have an `or` in it. */
function withOwnCondition({ condition: own }: ResolvedQuery, condition: OperationNode): OperationNode {
  return own === undefined ? condition : raw`(${own}) and ${condition}`
}

function either(conditions: readonly OperationNode[]): OperationNode {
  if (conditions.length === 1) return conditions[0] as OperationNode
  const each = conditions.map((condition) => raw`(${condition})`)
  return raw`(${joined(each, ' or ')})`
}

/** The branches under `union all`, in the form that the planner reads as one index range each. */
function unionOf(branches: readonly SelectQueryNode[], dialect: SqlDialect, limit: number): SelectQueryNode {
  if (dialect === 'sqlite') return mergedUnion(branches)
  return branches.length > 3 ? unionWithRemainingLimit(branches, limit) : limitedUnion(branches)
}

/** SQLite sorts each branch, here by an index, and merges them up to the limit. */
function mergedUnion([first, ...rest]: readonly SelectQueryNode[]): SelectQueryNode {
  const operations = rest.map((branch) => {
    return unionAll({ ...branch, with: undefined, orderBy: undefined, limit: undefined } as OperationNode)
  })
  return { ...(first as SelectQueryNode), setOperations: operations }
}

/** PostgreSQL merges branches that have an order and a limit each. It may read each of them up to the limit. */
function limitedUnion(branches: readonly SelectQueryNode[]): SelectQueryNode {
  const own = branches[0]?.with
  const [first, ...rest] = own === undefined ? branches : branches.map((branch) => ({ ...branch, with: undefined }))
  const from = { kind: 'AliasNode', node: first, alias: unionName } as AliasNode
  const operations = rest.map((branch) => unionAll({ kind: 'ParensNode', node: branch } as ParensNode))
  return selectAll(from, own, operations)
}

const unionName = /* @__PURE__ */ (() => IdentifierNode.create('phs'))()
const allColumns = /* @__PURE__ */ (() => [SelectionNode.createSelectAll()])()

function unionAll(expression: OperationNode): SetOperationNode {
  return { kind: 'SetOperationNode', operator: 'union', expression, all: true }
}

function selectAll(from: OperationNode, expressions?: WithNode, setOperations?: SetOperationNode[]): SelectQueryNode {
  return {
    kind: 'SelectQueryNode',
    with: expressions,
    from: { kind: 'FromNode', froms: [from] },
    selections: allColumns,
    setOperations,
  } as SelectQueryNode
}

/** PostgreSQL reads the branches one after another, and each only for the rows that are still missing. */
function unionWithRemainingLimit(branches: readonly SelectQueryNode[], limit: number): SelectQueryNode {
  let remaining: OperationNode = parameter(limit)
  const named = branches.map(({ with: _hoisted, ...branch }, at) => {
    const rows = at === 0 ? raw`${branch}` : raw`(select * from ${branch} as phs limit greatest(0, ${remaining}))`
    remaining = raw`${remaining} - (select count(*) from ${tableNode(`posthastes${at}`)})`
    return commonTable(`posthastes${at}`, rows)
  })
  const own = branches[0]?.with
  const expressions = [...(own?.expressions ?? []), ...named]
  const all = branches.map((_branch, at) => raw`select * from ${tableNode(`posthastes${at}`)}`)
  return selectAll(raw`(${joined(all, ' union all ')}) as phs`, { kind: 'WithNode', ...own, expressions })
}
