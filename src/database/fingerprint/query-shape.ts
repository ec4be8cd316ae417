import type { RootOperationNode } from 'kysely'
import { queryTables } from '../../shared/sql/query-tables.ts'
import type { QueryOperation } from '../types.ts'
import { setFunctions } from './fingerprint.ts'
import type { Token } from './sql-tokens.ts'

/** The part that all runs of a query share, whatever their values and the length of their lists. */
export interface QueryShape {
  readonly text: string
  readonly operation: QueryOperation
  /** Tables that the query reads or writes, without their schema. */
  readonly tables: readonly string[]
  /** Tables that the query changes. */
  readonly writes: readonly string[]
}

/** Reads the operation and tables from the query's syntax tree. Raw SQL shows only its operation, by its main verb. */
export function operationAndTables(query: RootOperationNode, tokens: readonly Token[]): Omit<QueryShape, 'text'> {
  const { tables, writes } = queryTables(query)
  return { operation: operations[query.kind] ?? mainOperation(tokens), tables, writes }
}

const operations: { readonly [Kind in RootOperationNode['kind']]?: QueryOperation } = {
  SelectQueryNode: 'select',
  InsertQueryNode: 'insert',
  UpdateQueryNode: 'update',
  DeleteQueryNode: 'delete',
  MergeQueryNode: 'merge',
}

const verbs: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete', 'merge'])

/** The verb of the statement. After `with`, the first verb outside of parentheses. */
function mainOperation(tokens: readonly Token[]): QueryOperation {
  let depth = 0
  const start = tokens.findIndex(({ key }) => key !== '(')
  for (const { kind, key } of tokens.slice(Math.max(0, start))) {
    if (key === '(') depth += 1
    if (key === ')') depth -= 1
    if (kind === 'word' && depth === 0 && verbs.has(key)) return key as QueryOperation
    if (tokens[start]?.key !== 'with') break
  }
  return 'other'
}

/**
 * Whether a statement without a table in its syntax tree reads or changes a table. Locks, settings, sequences and
 * notifications do not, nor do functions that turn a parameter into rows. MySQL's `replace` inserts, so it does.
 */
export function usesTable(operation: QueryOperation, tokens: readonly Token[]): boolean {
  if (operation === 'other') return tokens[0]?.key === 'replace'
  if (operation !== 'select') return true
  const expressions = commonTableNames(tokens)
  const callers: (string | undefined)[] = []
  for (const [index, { kind, key }] of tokens.entries()) {
    if (key === '(') callers.push(tokens[index - 1]?.key)
    if (key === ')') callers.pop()
    if (kind !== 'word' || (key !== 'from' && key !== 'join')) continue
    // `extract(year from …)`, `is distinct from …`
    if (keywordFunctions.has(callers.at(-1) ?? '') || tokens[index - 1]?.key === 'distinct') continue
    if (namesTable(tokens, index + 1, expressions)) return true
  }
  return false
}

const keywordFunctions = new Set(['extract', 'substring', 'trim', 'overlay', 'position'])

/** Names before `as (`. */
function commonTableNames(tokens: readonly Token[]): ReadonlySet<string> {
  const names = new Set<string>()
  for (const [index, { key }] of tokens.entries()) {
    if (key !== 'as') continue
    const isQuery =
      tokens.slice(index + 1, index + 4).find(({ key }) => key !== 'not' && key !== 'materialized')?.key === '('
    if (!isQuery) continue
    let name = index - 1
    // The names of the expression's columns may stand between.
    if (tokens[name]?.key === ')') while (name > 0 && tokens[name]?.key !== '(') name -= 1
    names.add(tokens[tokens[name]?.key === '(' ? name - 1 : name]?.key ?? '')
  }
  return names
}

function namesTable(tokens: readonly Token[], start: number, expressions: ReadonlySet<string>): boolean {
  let index = start
  while (tokens[index]?.key === 'lateral' || tokens[index]?.key === 'only') index += 1
  const token = tokens[index]
  if (token?.kind !== 'word' && token?.kind !== 'name') return false
  while (tokens[index + 1]?.key === '.') index += 2
  const name = tokens[index]?.key ?? ''
  const next = tokens[index + 1]
  if (next?.key === '(' || next?.kind === 'list') return !setFunctions.has(name) && !/^(?:pg|pragma)_/.test(name)
  return name !== 'dual' && !expressions.has(name)
}
