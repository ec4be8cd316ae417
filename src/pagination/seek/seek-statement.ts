import { type OperationNode, type OrderByNode, SelectQueryNode } from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import type { Position } from '../cursor.ts'
import type { KeyText } from '../key-text/key-text.ts'
import { keyTexts } from '../key-text/key-texts.ts'
import { databaseColumn } from '../key-text/mysql-catalog.ts'
import { isSurelyAt } from '../key-text/mysql-writing.ts'
import { onPageOnly } from '../key-text/postgres.ts'
import { isNoNumber, mayBeMixed } from '../key-text/sqlite-unions.ts'
import { filtersByAlias } from './clauses.ts'
import { proofColumns } from './hidden-columns.ts'
import { orderBy, orderTerms } from './order-by.ts'
import { isNative, type OrderKey, type ResolvedQuery, reversed } from './sort-keys.ts'
import { asColumn, countParameters, joined, limitNode, maxParameters, raw, sqlText, withClauses } from './sql-nodes.ts'
import { unionOf } from './unions.ts'

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
  const mixed = position === undefined || dialect !== 'sqlite' ? [] : mixedColumns(query, position)
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
export function fits({ base, condition, keys }: ResolvedQuery, dialect: SqlDialect, times: number): boolean {
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

/** The signatures of orders whose rows have shown that their statements must be detailed. */
const detailed = new Set<string>()
const maxDetailed = 1_000

function isDetailed({ signature }: ResolvedQuery): boolean {
  return detailed.has(signature)
}

/** Makes the next statements of the order detailed. */
export function wantDetails({ signature }: ResolvedQuery): void {
  if (detailed.size >= maxDetailed) detailed.clear()
  detailed.add(signature)
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
export function sessionColumns(keys: readonly OrderKey[]): OperationNode[] {
  return keys.some(({ type }) => type === 'zoned') ? [databaseColumn, zoneColumn] : [databaseColumn]
}

const zoneColumn = /* @__PURE__ */ sqlText('@@time_zone as posthastez0')

/** The query without the user's columns, unless its condition may name one of them. */
export function withoutColumns(query: ResolvedQuery, dialect: SqlDialect): ResolvedQuery {
  return filtersByAlias(query.base, dialect)
    ? query
    : { ...query, base: SelectQueryNode.cloneWithoutSelections(query.base) }
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

/** A mark on each row, if the position is a number and the union also has other values. */
export function mixedColumns(query: ResolvedQuery, position: Position): OperationNode[] {
  const { base, keys } = query
  if (!mayBeMixed(keys, position)) return []
  const found = withOwnCondition(query, isNoNumber(keys[0] as OrderKey))
  return [asColumn(rowOf(base, one, raw`where ${found} limit 1`, 'sqlite'), 'posthastem0')]
}

function tablesIn({ from, joins = [] }: SelectQueryNode): OperationNode {
  return from === undefined ? sqlText('') : joined([from, ...joins], ' ')
}

/**
 * Reads 1 or NULL. The order makes a planner without statistics take the index. Otherwise it may hope to meet a row
 * early.
 */
export function exists(
  query: ResolvedQuery,
  dialect: SqlDialect,
  condition: OperationNode,
  column: OperationNode = one,
): OperationNode {
  const { terms } = keySqlOf(query.keys, dialect)
  const all = withOwnCondition(query, condition)
  return dialect === 'mssql'
    ? raw`(select top(1) ${column} ${tablesIn(query.base)} where ${all} order by ${terms})`
    : rowOf(query.base, column, raw`where ${all} order by ${terms} limit 1`, dialect)
}

/** A sub-select of one row. If the condition may name columns of the query, it has them too, and reads 1 or NULL. */
function rowOf(base: SelectQueryNode, column: OperationNode, rest: OperationNode, dialect: SqlDialect): OperationNode {
  if (!filtersByAlias(base, dialect)) return raw`(select ${column} ${tablesIn(base)} ${rest})`
  return raw`(select 1 where exists (select ${joined(base.selections ?? [], ', ')} ${tablesIn(base)} ${rest}))`
}

const one = /* @__PURE__ */ sqlText('1 as x')

/** The user's own condition goes into parentheses, because raw SQL may have an `or` in it. */
function withOwnCondition({ condition: own }: ResolvedQuery, condition: OperationNode): OperationNode {
  return own === undefined ? condition : raw`(${own}) and ${condition}`
}

export function either(conditions: readonly OperationNode[]): OperationNode {
  if (conditions.length === 1) return conditions[0] as OperationNode
  const each = conditions.map((condition) => raw`(${condition})`)
  return raw`(${joined(each, ' or ')})`
}

// The conditions that select rows by a position.

/** The form of the condition that selects the rows from a position on. */
type SeekStrategy = 'row' | 'branches' | 'or'

/**
 * Chooses the form that the planner turns into a range of an index:
 *
 * - PostgreSQL needs a row value, and never uses a range for an `or`.
 * - SQLite uses no range for a row value that ends in the rowid.
 * - MySQL and MariaDB need an `or`, and read the whole index for a row value.
 *
 * Where neither form works, disjoint branches under `union all` do: each is a range.
 */
export function seekStrategy({ base, keys, isGrouped }: ResolvedQuery, dialect: SqlDialect): SeekStrategy {
  // The database computes a grouped query as a whole, so the statement must contain it only once.
  if (isGrouped || dialect === 'mysql' || dialect === 'mssql') return 'or'
  if (dialect === 'postgres' && keys.every((key) => !key.isNullable && key.isDescending === keys[0]?.isDescending))
    return 'row'
  // The databases refuse `for update` in a union.
  if (base.endModifiers?.length) return 'or'
  return dialect === 'postgres' || keys.every((key) => isNative(key, dialect)) ? 'branches' : 'or'
}

/**
 * Disjoint conditions, nearest rows first, that together hold for the row at the position and all rows after it. A key that
 * should never be NULL also has a branch for NULLs: then a NULL is read and reported, not lost.
 *
 * @param checkFirstKey - whether the first key has this branch; if not, another check must find its NULLs
 */
export function branchesFrom(
  keys: readonly OrderKey[],
  position: Position,
  text: KeyText,
  checkFirstKey = true,
): OperationNode[] {
  return keys
    .flatMap((key, at) => {
      const value = position[at] ?? null
      const before = equalities(keys, position, text, at)
      const isLast = at === keys.length - 1
      if (value === null) {
        const behind = key.nulls === 'first' ? [and(before, raw`${key.sql} is not null`)] : []
        return isLast ? [...behind, and(before, text.isNull(key))] : behind
      }
      const beyond = and(before, text.beyond(key, value, isLast))
      const endsInNull = canEndInNull(key) && (key.isNullable || at > 0 || checkFirstKey)
      return endsInNull ? [and(before, text.isNull(key)), beyond] : [beyond]
    })
    .reverse()
}

/**
 * Compares the keys with values, as one comparison of row values. It is never true for a NULL, so {@link nullChecks}
 * must look for NULLs.
 */
function compareRows(keyList: OperationNode, operator: '=' | '<=' | '>=', values: OperationNode): OperationNode {
  return raw(['(', `) ${operator} (`, ')'], keyList, values)
}

/** A condition on the first key that all rows from the position on meet. SQL Server needs it to use a range of the index. */
function firstKeyFrom(keys: readonly OrderKey[], position: Position, text: KeyText): OperationNode | undefined {
  const key = keys[0] as OrderKey
  const [value = null] = position
  if (value === null || keys.length === 1 || canEndInNull(key)) return undefined
  return text.beyond(key, value, true)
}

/**
 * For each key that should have no NULLs, a column that marks rows after the position where the key is NULL.
 *
 * @param position - absent at the start of a walk, where only the first key is checked
 * @param checkFirstKey - whether to look for NULLs in the first key
 */
export function nullChecks(
  query: ResolvedQuery,
  dialect: SqlDialect,
  position: Position | undefined,
  checkFirstKey: boolean,
): OperationNode[] {
  const { keys } = query
  const text = keyTexts[dialect]
  const checks: OperationNode[] = []
  for (let at = checkFirstKey ? 0 : 1; at < (position === undefined ? 1 : keys.length); at++) {
    const key = keys[at] as OrderKey
    if (key.isNullable || !canEndInNull(key)) continue
    const condition = and(equalities(keys, position ?? [], text, at), text.isNull(key))
    checks.push(asColumn(exists(query, dialect, condition), `posthasten${at}`))
  }
  return checks
}

/** Whether the key can have NULLs behind its values. */
function canEndInNull(key: OrderKey): boolean {
  return key.nulls === 'last' && (key.isNullable || !key.isUnique)
}

function equalities(keys: readonly OrderKey[], position: Position, text: KeyText, count: number): OperationNode[] {
  return keys.slice(0, count).map((key, at) => {
    const value = position[at] ?? null
    return value === null ? text.isNull(key) : text.equals(key, value)
  })
}

/** The condition that a row stands at the position. It is NULL or false for any other row. */
export function isAt(keys: readonly OrderKey[], position: Position, text: KeyText): OperationNode {
  return joined(equalities(keys, position, text, keys.length), ' and ')
}

function and(conditions: readonly OperationNode[], last: OperationNode): OperationNode {
  if (conditions.length === 0) return last
  return joined([...conditions, last], ' and ')
}
