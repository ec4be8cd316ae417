import type { CompiledQuery } from 'kysely'
import { nodeUtil } from '../../shared/platform/builtins.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { type Token, tokenize } from './sql-tokens.ts'

/**
 * Whether two runs of a query read different pages of one list: they differ only in bounds on columns of their ORDER BY,
 * or only in their offset. It compares the SQL text, so that bounds in raw SQL count too.
 */
export function isOtherPage(one: CompiledQuery, other: CompiledQuery, dialect: SqlDialect): boolean {
  const tokens = tokenize(one.sql, dialect)
  const values = valuesOf(tokens, one.parameters)
  const others = valuesOf(tokenize(other.sql, dialect), other.parameters)
  if (values.length !== others.length) return false
  const sorted = sortColumns(tokens)
  const uses = values
    .filter(({ value }, position) => !nodeUtil().isDeepStrictEqual(value, others[position]?.value))
    .map(({ index }) => useOf(tokens, index, sorted))
  // A seek compares its first keys with `=`, and only the last one with a bound. So sorted columns with `=` may vary too.
  return uses.some((use) => use === 'bound' || use === 'offset') && uses.every((use) => use !== 'other')
}

interface Value {
  /** The position of its token. */
  readonly index: number
  readonly value: unknown
}

function valuesOf(tokens: readonly Token[], parameters: readonly unknown[]): Value[] {
  return tokens.flatMap(({ kind, text, parameters: positions }, index): Value[] =>
    kind === 'literal'
      ? [{ index, value: text }]
      : positions.map((position) => ({ index, value: parameters[position] })),
  )
}

/** Columns after `order by`, and the columns that are selected under these names. */
function sortColumns(tokens: readonly Token[]): ReadonlySet<string> {
  const columns = new Set<string>()
  for (const [index, { key }] of tokens.entries()) {
    if (key !== 'order' || tokens[index + 1]?.key !== 'by') continue
    let depth = 0
    for (const { kind, key } of tokens.slice(index + 2)) {
      if (key === '(') depth += 1
      if (key === ')') depth -= 1
      if (depth < 0 || (kind === 'word' && endsOrder.has(key))) break
      if (kind === 'word' || kind === 'name') columns.add(key)
    }
  }
  for (const [index, { key }] of tokens.entries()) {
    if (key === 'as' && columns.has(tokens[index + 1]?.key ?? '')) columns.add(tokens[index - 1]?.key ?? '')
  }
  return columns
}

const endsOrder = new Set(['limit', 'offset', 'fetch', 'for', 'union', 'rows', 'range'])

/** What a value is used for. `'key'`: it is compared with a sorted column by `=`. */
function useOf(
  tokens: readonly Token[],
  index: number,
  sorted: ReadonlySet<string>,
): 'bound' | 'offset' | 'key' | 'other' {
  let left = skipOut(tokens, index, -1)
  // `between ? and ?`
  if (tokens[left]?.key === 'and') {
    const start = skipOut(tokens, left, -1)
    if (tokens[start]?.key === 'between') left = start
  }
  const before = tokens[left]
  if (before?.key === 'offset') return 'offset'
  // `limit 10, 20` and `limit 10 offset 20`: only the offset may vary.
  if (before?.key === 'limit') return tokens[index + 1]?.key === ',' ? 'offset' : 'other'
  const right = skipOut(tokens, index, 1)
  const operator = comparisons.has(before?.key ?? '') ? left : comparisons.has(tokens[right]?.key ?? '') ? right : -1
  if (operator === -1) return 'other'
  const columns = columnsBeside(tokens, operator, operator === left ? -1 : 1)
  if (!columns.some((column) => sorted.has(column))) return 'other'
  return tokens[operator]?.key === '=' ? 'key' : 'bound'
}

const comparisons = new Set(['<', '>', '<=', '>=', '=', 'between'])

/** The nearest token before or after a value that does not belong to its row, its casts or its parentheses. */
function skipOut(tokens: readonly Token[], start: number, step: 1 | -1): number {
  let index = start + step
  for (; index >= 0 && index < tokens.length; index += step) {
    const { kind, key } = tokens[index] as Token
    const isValue = kind === 'placeholder' || kind === 'literal' || kind === 'list'
    const isType = tokens[index - 1]?.key === '::' || tokens[index - 1]?.key === 'as'
    if (!isValue && !isType && !aroundValues.has(key)) break
  }
  return index
}

const aroundValues = new Set(['(', ')', ',', '::', '[', ']', 'cast', 'as', 'row', 'timestamp', 'date'])

/** The columns of the operand beside an operator: one column, or those of a row. */
function columnsBeside(tokens: readonly Token[], operator: number, step: 1 | -1): string[] {
  const columns: string[] = []
  let depth = 0
  for (let index = operator + step; index >= 0 && index < tokens.length; index += step) {
    const { kind, key } = tokens[index] as Token
    if (key === '(' || key === ')') {
      depth += (key === ')') === (step === -1) ? 1 : -1
      if (depth <= 0) break
    } else if (kind === 'name' || kind === 'word') {
      if (depth === 0 && kind === 'word' && endsOperand.has(key)) break
      columns.push(key)
    } else if (depth === 0 && key !== '.' && key !== '::') break
  }
  return columns
}

const endsOperand = new Set(['and', 'or', 'where', 'on', 'not', 'having', 'when', 'select', 'limit', 'order', 'group'])
