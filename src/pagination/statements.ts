import {
  AliasNode,
  IdentifierNode,
  type OperationNode,
  ParensNode,
  SelectionNode,
  SelectQueryNode,
  SetOperationNode,
} from 'kysely'
import { keyTexts } from './key-text.ts'
import { type OrderedQuery, reversed } from './order.ts'
import { column, limited, only, ordered, select, where } from './parts.ts'
import { branchesFrom, nullsFrom, type Position, rowValueFrom, seekStrategy } from './position.ts'
import { constant, joined, raw } from './raw.ts'
import type { SqlDialect } from './types.ts'

/** Rows by OFFSET. */
export function offsetStatement(
  { base, keys }: OrderedQuery,
  dialect: SqlDialect,
  limit: number,
  offset: number,
): SelectQueryNode {
  return limited(ordered(base, keys, dialect), dialect, limit, offset)
}

/**
 * Rows from the position on, its own row included, or from the start of the list. Each row also has the text of its keys
 * (`phk0`, ...), and may have their values (`pho0`, ...) and a mark of NULLs ahead (`phn0`, ...).
 */
export function seekStatement(
  query: OrderedQuery,
  dialect: SqlDialect,
  limit: number,
  position?: Position,
): SelectQueryNode {
  const { base, keys } = query
  const text = keyTexts[dialect]
  const page = select(
    base,
    keys.map(({ sql }, at) => column(text.write(sql), `phk${at}`)),
  )
  const finish = (node: SelectQueryNode) => limited(ordered(node, keys, dialect), dialect, limit)
  if (position === undefined) return finish(page)
  const strategy = seekStrategy(query, dialect)
  if (strategy === 'row') {
    return finish(where(select(page, nullChecks(query, dialect, position)), rowValueFrom(keys, position, text)))
  }
  const branches = branchesFrom(keys, position, text)
  if (branches.length === 1 || strategy === 'or') return finish(where(page, either(branches)))
  const valued = select(
    page,
    keys.map(({ sql }, at) => column(sql, `pho${at}`)),
  )
  const arms = branches.map((branch) => where(valued, branch))
  const union = dialect === 'sqlite' ? merged(arms) : appended(arms.map(finish))
  return limited(
    ordered(union, keys, dialect, (_key, at) => constant(`pho${at}`)),
    dialect,
    limit,
  )
}

/**
 * One row: whether rows stand before the position (`phb`), and whether NULLs that should not be there stand after it
 * (`phn0`, ...).
 */
export function probeStatement(query: OrderedQuery, dialect: SqlDialect, position: Position): SelectQueryNode {
  const back = { ...query, keys: reversed(query.keys) }
  const branches = branchesFrom(back.keys, position, keyTexts[dialect])
  const conditions = query.grouped ? [either(branches)] : branches
  const before = conditions.map((condition) => exists(back, dialect, condition))
  return select(SelectQueryNode.create(query.base.with), [
    column(before.length === 1 ? (before[0] as OperationNode) : raw`coalesce(${joined(before, ', ')})`, 'phb'),
    ...nullChecks(query, dialect, position),
  ])
}

/** The query with no columns but the text of its keys. */
export function keysOnly(query: OrderedQuery): OrderedQuery {
  return { ...query, base: SelectQueryNode.cloneWithoutSelections(query.base) }
}

function nullChecks(query: OrderedQuery, dialect: SqlDialect, position: Position): OperationNode[] {
  return nullsFrom(query.keys, position, keyTexts[dialect]).map(({ at, condition }) =>
    column(exists(query, dialect, condition), `phn${at}`),
  )
}

const one = constant('1 as x')

/** 1 or NULL. Ordered, so that a planner without statistics takes the index instead of hoping for an early match. */
function exists({ base, keys }: OrderedQuery, dialect: SqlDialect, condition: OperationNode): SelectQueryNode {
  const { with: _expressions, endModifiers: _lock, ...rest } = base
  return limited(ordered(where(only(rest, one), condition), keys, dialect), dialect, 1)
}

function either(conditions: readonly OperationNode[]): OperationNode {
  if (conditions.length === 1) return conditions[0] as OperationNode
  return raw`(${joined(
    conditions.map((condition) => ParensNode.create(condition)),
    ' or ',
  )})`
}

/** SQLite sorts each arm by itself, here by an index, and merges them up to the limit. */
function merged([first, ...rest]: SelectQueryNode[]): SelectQueryNode {
  const arms = rest.map(({ with: _hoisted, ...arm }) => SetOperationNode.create('union', arm, true))
  return SelectQueryNode.cloneWithSetOperations(first as SelectQueryNode, arms)
}

/** PostgreSQL appends arms in their order, and stops at the limit, when each has an order and a limit of its own. */
function appended(arms: SelectQueryNode[]): SelectQueryNode {
  const [first, ...rest] = arms.map(({ with: _hoisted, ...arm }) => arm)
  const from = SelectQueryNode.createFrom(
    [AliasNode.create(first as SelectQueryNode, IdentifierNode.create('phs'))],
    arms[0]?.with,
  )
  return SelectQueryNode.cloneWithSetOperations(
    SelectQueryNode.cloneWithSelections(from, [SelectionNode.createSelectAll()]),
    rest.map((arm) => SetOperationNode.create('union', ParensNode.create(arm), true)),
  )
}
