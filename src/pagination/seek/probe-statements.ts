import { type OperationNode, SelectQueryNode } from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import type { Position } from '../cursor.ts'
import { keyTexts } from '../key-text/key-texts.ts'
import { branchesFrom, either, exists, fits, isAt, mixedColumns, nullChecks, sessionColumns } from './seek-statement.ts'
import { type OrderKey, type ResolvedQuery, reversed } from './sort-keys.ts'
import { asColumn, commonTable, joined, raw, sqlText, tableNode, withOnlyColumn } from './sql-nodes.ts'
import { selectAll } from './unions.ts'

// Statements beside those of pages: they find out about a position.

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
