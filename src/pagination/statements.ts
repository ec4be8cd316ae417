import {
  AliasNode,
  IdentifierNode,
  type OperationNode,
  type OrderByNode,
  ParensNode,
  SelectionNode,
  SelectQueryNode,
  SetOperationNode,
  type WithNode,
} from 'kysely'
import { keyTexts } from './key-text.ts'
import { reversed } from './order.ts'
import type { OrderedQuery, OrderKey } from './ordered-query.ts'
import { column, limited, only, orderBy, select, selection, where } from './parts.ts'
import { branchesFrom, firstKeyFrom, nullsFrom, type Position, rowValueFrom, seekStrategy } from './position.ts'
import { constant, joined, raw, value } from './raw.ts'
import type { SqlDialect } from './types.ts'

/** Rows by OFFSET. */
export function offsetStatement(
  { base, keys }: OrderedQuery,
  dialect: SqlDialect,
  limit: number,
  offset: number,
): SelectQueryNode {
  return limited({ ...base, orderBy: partsOf(keys, dialect).order }, dialect, limit, offset)
}

/**
 * Rows from the position on, its own row included, or from the start of the list. Each row also has the text of its keys
 * (`phk0`, ...), and may have their values (`pho0`, ...) and a mark of NULLs ahead (`phn0`, ...).
 *
 * @param starts - whether a walk starts here; PostgreSQL looks for the NULLs of a first key that should have none then, and
 *   not again, because that costs as much as a page
 */
export function seekStatement(
  query: OrderedQuery,
  dialect: SqlDialect,
  limit: number,
  position?: Position,
  starts: boolean = position === undefined,
): SelectQueryNode {
  const { base, keys } = query
  const text = keyTexts[dialect]
  const { names, texts, values, order, mergedOrder } = partsOf(keys, dialect)
  const page = limited(select(base, texts, order), dialect, limit)
  const strategy = seekStrategy(query, dialect)
  const checksOnce = dialect === 'postgres' && strategy !== 'or'
  if (position === undefined) return checksOnce ? checked(page, nullChecks(query, dialect, position, true)) : page
  if (strategy === 'row') {
    return where(checked(page, nullChecks(query, dialect, position, starts)), rowValueFrom(names, keys, position, text))
  }
  const branches = branchesFrom(keys, position, text, starts || !checksOnce)
  if (branches.length === 1 || strategy === 'or') {
    const condition = either(branches)
    // Among the last NULLs the keys before the last one are all NULL. MariaDB sorts unless it is told so.
    if (branches.length === 1 && dialect === 'mysql') {
      return where({ ...page, orderBy: partsOf(keys.slice(-1), dialect).order }, condition)
    }
    const bound = dialect === 'mssql' ? firstKeyFrom(keys, position, text) : undefined
    return where(page, bound === undefined ? condition : raw`${bound} and ${condition}`)
  }
  const valued = select(page, values)
  const arms = branches.map((branch) => where(valued, branch))
  const union = dialect === 'sqlite' ? merged(arms) : arms.length > 3 ? rationed(arms, limit) : appended(arms)
  return limited({ ...union, orderBy: mergedOrder }, dialect, limit)
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
  const found = before.length === 1 ? raw`${before[0] as OperationNode}` : raw`coalesce(${joined(before, ', ')})`
  const columns = [column(found, 'phb'), ...nullChecks(query, dialect, position, true)]
  return select(SelectQueryNode.create(query.base.with), selection(columns))
}

/** One row of the keys, read back; it fails when a key cannot be read. */
export function readStatement(dialect: SqlDialect, position: Position): SelectQueryNode {
  const columns = position.map((text, at) =>
    column(text === null ? constant('null') : keyTexts[dialect].read(text), `phk${at}`),
  )
  return select(SelectQueryNode.create(), selection(columns))
}

/** The query with no columns but the text of its keys. */
export function keysOnly(query: OrderedQuery): OrderedQuery {
  return { ...query, base: SelectQueryNode.cloneWithoutSelections(query.base) }
}

/** What statements have of their keys, whatever the position. */
interface KeyParts {
  readonly names: OperationNode
  readonly texts: SelectionNode
  readonly values: SelectionNode
  readonly order: OrderByNode
  /** The order of branches by the values that they select. */
  readonly mergedOrder: OrderByNode
}

const known = new WeakMap<readonly OrderKey[], KeyParts>()

function partsOf(keys: readonly OrderKey[], dialect: SqlDialect): KeyParts {
  const before = known.get(keys)
  if (before !== undefined) return before
  const sqls = keys.map((key) => key.sql)
  const parts = {
    names: joined(sqls, ', '),
    texts: selection(sqls.map((sql, at) => column(keyTexts[dialect].write(sql), `phk${at}`))),
    values: selection(sqls.map((sql, at) => column(sql, `pho${at}`))),
    order: orderBy(keys, dialect, sqls),
    mergedOrder: orderBy(
      keys,
      dialect,
      keys.map((_key, at) => constant(`pho${at}`)),
    ),
  }
  known.set(keys, parts)
  return parts
}

function checked(page: SelectQueryNode, checks: readonly OperationNode[]): SelectQueryNode {
  return checks.length === 0 ? page : select(page, selection(checks))
}

function nullChecks(
  query: OrderedQuery,
  dialect: SqlDialect,
  position: Position | undefined,
  first: boolean,
): OperationNode[] {
  return nullsFrom(query.keys, position, keyTexts[dialect], first).map(({ at, condition }) =>
    column(exists(query, dialect, condition), `phn${at}`),
  )
}

const one = constant('1 as x')

/** 1 or NULL. Ordered, so that a planner without statistics takes the index instead of hoping for an early match. */
function exists({ base, keys }: OrderedQuery, dialect: SqlDialect, condition: OperationNode): SelectQueryNode {
  const { with: _expressions, endModifiers: _lock, ...rest } = base
  return limited({ ...where(only(rest, one), condition), orderBy: partsOf(keys, dialect).order }, dialect, 1)
}

function either(conditions: readonly OperationNode[]): OperationNode {
  if (conditions.length === 1) return conditions[0] as OperationNode
  const each = conditions.map((condition) => raw`(${condition})`)
  return raw`(${joined(each, ' or ')})`
}

/** SQLite sorts each arm by itself, here by an index, and merges them up to the limit. */
function merged(arms: readonly SelectQueryNode[]): SelectQueryNode {
  const [first, ...rest] = arms.map(({ orderBy: _order, limit: _limit, ...arm }) => arm)
  const operations = rest.map(({ with: _hoisted, ...arm }) => SetOperationNode.create('union', arm, true))
  return { ...(first as SelectQueryNode), setOperations: operations }
}

/** PostgreSQL merges arms that have an order and a limit of their own; it reads some of them up to the limit for that. */
function appended(arms: readonly SelectQueryNode[]): SelectQueryNode {
  const [first, ...rest] = arms.map(({ with: _hoisted, ...arm }) => arm)
  const alias = AliasNode.create(first as SelectQueryNode, IdentifierNode.create('phs'))
  const from = SelectQueryNode.createFrom([alias], arms[0]?.with)
  return {
    ...select(from, SelectionNode.createSelectAll()),
    setOperations: rest.map((arm) => SetOperationNode.create('union', ParensNode.create(arm), true)),
  }
}

/** The same for many arms: one after another, each reads what those before it have left over. */
function rationed(arms: readonly SelectQueryNode[], limit: number): SelectQueryNode {
  let left: OperationNode = value(limit)
  const named = arms.map(({ with: _hoisted, ...arm }, at) => {
    const rows = at === 0 ? raw`${arm}` : raw`(select * from ${arm} as phs limit greatest(0, ${left}))`
    left = raw(['', ` - (select count(*) from phs${at})`], left)
    return raw([`phs${at} as `, ''], rows)
  })
  const user = arms[0]?.with
  const expressions = [...(user?.expressions ?? []), ...named] as unknown as WithNode['expressions']
  const union = arms.map((_arm, at) => `select * from phs${at}`).join(' union all ')
  const from = SelectQueryNode.createFrom([constant(`(${union}) as phs`)], { kind: 'WithNode', ...user, expressions })
  return select(from, SelectionNode.createSelectAll())
}
