import type { SqlDialect } from '../../shared/sql/statement.ts'
import { type Token, tokenize } from './sql-tokens.ts'

/** What all runs of a statement share, as its text shows. */
export interface Fingerprint {
  /**
   * The SQL without comments and values: each value is a `?`, and lists of values and rows are `(...)`. It is the same
   * for lists of any length, with any casts and parentheses.
   */
  readonly text: string
  readonly tokens: readonly Token[]
  /** The values that stand in the SQL itself. They may be secret. */
  readonly literals: readonly string[]
  /** The {@link literals} outside of lists. */
  readonly scalarLiterals: readonly string[]
  /** Positions of the parameters outside of lists. */
  readonly scalars: readonly number[]
  /** Whether the statement serves many values or rows at once: by a list of parameters, an array, or several rows. */
  readonly isBatch: boolean
}

/** @param dialect - decides how texts and comments are written; `undefined` reads standard SQL */
export function fingerprint(sql: string, dialect?: SqlDialect): Fingerprint {
  const tokens = tokenize(sql, dialect)
  const folded = fold(tokens)
  return { ...folded, text: folded.text.replace(/[\s;]+$/, ''), tokens }
}

function fold(tokens: readonly Token[]): Omit<Fingerprint, 'tokens'> {
  const pieces: string[] = []
  const literals: string[] = []
  const scalarLiterals: string[] = []
  const scalars: number[] = []
  let isBatch = false
  let isSignSpaced = false
  const add = (start: number, end: number, text: string, isScalar: boolean) => {
    pieces.push(text)
    for (const { kind, text, parameters } of tokens.slice(start, end)) {
      if (kind === 'literal') literals.push(text)
      if (kind === 'literal' && isScalar) scalarLiterals.push(text)
      if (isScalar) scalars.push(...parameters)
    }
  }
  for (let index = 0; index < tokens.length; ) {
    const token = tokens[index] as Token
    const space: string = (token.isSpaced || isSignSpaced) && pieces.length > 0 ? ' ' : ''
    isSignSpaced = false
    const list = listAt(tokens, index)
    if (list !== undefined) {
      isBatch ||= list.isBatch
      add(index, list.end, space + list.text, !list.isBatch)
      index = list.end
    } else if (isSignOfNumber(tokens, index)) {
      isSignSpaced = space !== ''
      index += 1
    } else if (takesArray(tokens, index)) {
      const end = closing(tokens, index + 1)
      const open = tokens[index + 1]?.isSpaced ? ' ' : ''
      isBatch = true
      add(index, end, space + token.text + open + fold(tokens.slice(index + 1, end)).text, false)
      index = end
    } else {
      add(index, index + 1, space + shown(token), true)
      index += 1
    }
  }
  return { text: pieces.join(''), literals, scalarLiterals, scalars, isBatch }
}

function render(tokens: readonly Token[]): string {
  return tokens.map((token, index) => (token.isSpaced && index > 0 ? ' ' : '') + shown(token)).join('')
}

function shown({ kind, text, parameters }: Token): string {
  if (kind === 'placeholder' || kind === 'literal') return '?'
  return kind === 'list' ? `(${parameters.map(() => '?').join(', ')})` : text
}

interface List {
  readonly end: number
  readonly text: string
  readonly isBatch: boolean
}

/** The list of values, rows or alternatives that starts at this position. */
function listAt(tokens: readonly Token[], index: number): List | undefined {
  const { kind, key, text } = tokens[index] as Token
  const alternatives = alternativesAt(tokens, index)
  if (alternatives !== undefined || kind !== 'word') return alternatives
  if (key === 'in') return valuesAt(tokens, index + 1, `${text} (...)`)
  if (key === 'array' && tokens[index + 1]?.key === '[') return valuesAt(tokens, index + 1, `${text}[...]`)
  return key === 'values' && !isOperator(tokens[index - 1]) ? rowsAt(tokens, index + 1, `${text} (...)`) : undefined
}

/** `a = ? or a = ?`, `(a = ? and b = ?) or (a = ? and b = ?)`, `when ? then ? when ? then ?`: one alternative for each row. */
function alternativesAt(tokens: readonly Token[], start: number): List | undefined {
  const { key } = tokens[start] as Token
  const isCase = key === 'when'
  const before = tokens[start - 1]
  if (
    !isCase &&
    key !== '(' &&
    !(before?.key === '(' || (before?.kind === 'word' && beforeCondition.has(before.key)))
  ) {
    return undefined
  }
  const endOf = isCase ? endOfArm : key === '(' ? closing : endOfOperand
  const separator = isCase ? 'when' : 'or'
  const end = endOf(tokens, start)
  if (tokens[end]?.key !== separator) return undefined
  const content = tokens.slice(start, end)
  if (content.every(({ kind, parameters }) => kind !== 'literal' && parameters.length === 0)) return undefined
  const text = render(content)
  let last = end
  while (tokens[last]?.key === separator) {
    const next = isCase ? last : last + 1
    const nextEnd = next < tokens.length && (key !== '(' || tokens[next]?.key === '(') ? endOf(tokens, next) : next
    if (render(tokens.slice(next, nextEnd)) !== text) break
    last = nextEnd
  }
  if (last === end || (!isCase && tokens[last]?.key === 'and')) return undefined
  return { end: last, text: isCase ? `${text} ...` : `${text} or ...`, isBatch: true }
}

const beforeCondition = new Set(['where', 'on', 'having'])

/** The end of the operand of an OR. */
function endOfOperand(tokens: readonly Token[], start: number): number {
  return endBefore(tokens, start, endsOperand)
}

/** The end of `when … then …`. */
function endOfArm(tokens: readonly Token[], start: number): number {
  return endBefore(tokens, start + 1, endsArm)
}

function endBefore(tokens: readonly Token[], start: number, words: ReadonlySet<string>): number {
  let depth = 0
  for (let index = start; index < tokens.length; index += 1) {
    const { kind, key } = tokens[index] as Token
    depth += nesting(tokens[index] as Token)
    if (depth < 0 || (depth === 0 && kind === 'word' && words.has(key))) return index
  }
  return tokens.length
}

const endsArm = new Set(['when', 'else', 'end'])
const endsOperand: ReadonlySet<string> = /* @__PURE__ */ (() =>
  new Set(
    'or and group having order limit offset fetch for union intersect except window returning on join'.split(' '),
  ))()

function valuesAt(tokens: readonly Token[], start: number, text: string): List | undefined {
  const first = tokens[start]
  if (first?.kind !== 'list' && first?.key !== '(' && first?.key !== '[') return undefined
  const end = closing(tokens, start)
  const content = tokens.slice(start, end)
  if (!content.every((_, position) => isPartOfValue(content, position))) return undefined
  const parameters = content.flatMap(({ parameters }) => parameters)
  const values = parameters.length || content.filter(({ kind }) => kind === 'literal').length
  return { end, text, isBatch: values > 1 && !isSingleRow(content) }
}

/** Whether a list holds one row of several values: `((?, ?))`. */
function isSingleRow(content: readonly Token[]): boolean {
  if (content[0]?.kind === 'list') return false
  let depth = 0
  for (const token of content) {
    depth += nesting(token)
    if (token.key === ',' && depth === 1) return false
  }
  return true
}

function rowsAt(tokens: readonly Token[], start: number, text: string): List | undefined {
  let rows = 0
  let end = start
  for (;;) {
    let row = end
    if (rows > 0) {
      if (tokens[row]?.key !== ',') break
      row += 1
    }
    if (tokens[row]?.key === 'row') row += 1
    if (tokens[row]?.kind !== 'list' && tokens[row]?.key !== '(') break
    end = closing(tokens, row)
    rows += 1
  }
  return rows === 0 ? undefined : { end, text, isBatch: rows > 1 }
}

/** The position after the parenthesis that closes the one at `start`. */
function closing(tokens: readonly Token[], start: number): number {
  let depth = 0
  for (let index = start; index < tokens.length; index += 1) {
    depth += nesting(tokens[index] as Token)
    if (depth <= 0) return index + 1
  }
  return tokens.length
}

/** 1 for a parenthesis or bracket that opens, -1 for one that closes. */
function nesting({ kind, key }: Token): number {
  if (kind !== 'sign') return 0
  return key === '(' || key === '[' ? 1 : key === ')' || key === ']' ? -1 : 0
}

/** Whether the token can stand in a value without columns: constants, casts, and functions of them. */
function isPartOfValue(tokens: readonly Token[], position: number): boolean {
  const { kind, key } = tokens[position] as Token
  if (kind === 'placeholder' || kind === 'literal' || kind === 'list') return true
  if (kind === 'sign') return !operators.has(key)
  if (tokens[position + 1]?.key === '(' || tokens[position + 1]?.kind === 'list') return key !== 'select'
  return (kind === 'word' && constants.has(key)) || isPartOfType(tokens, position)
}

/** `::timestamp with time zone`, `::"status"`, `as int`. */
function isPartOfType(tokens: readonly Token[], position: number): boolean {
  for (let index = position - 1; index >= 0; index -= 1) {
    const { kind, key } = tokens[index] as Token
    if (key === '::' || key === 'as') return true
    if (kind !== 'word' && kind !== 'name' && key !== '.') return false
  }
  return false
}

const constants = new Set([
  'null',
  'true',
  'false',
  'default',
  'date',
  'time',
  'timestamp',
  'interval',
  'uuid',
  'as',
  'json',
])
const operators = new Set(['=', '<', '>', '<=', '>=', '<>', '!=', '*', '/', '%'])

/** Functions that turn one parameter into many rows. */
export const setFunctions: ReadonlySet<string> = new Set([
  'unnest',
  'json_each',
  'json_tree',
  'json_table',
  'json_array_elements',
  'json_array_elements_text',
  'json_populate_recordset',
  'json_to_recordset',
  'jsonb_each',
  'jsonb_array_elements',
  'jsonb_array_elements_text',
  'jsonb_populate_recordset',
  'jsonb_to_recordset',
  'openjson',
  'string_split',
  'string_to_table',
  'regexp_split_to_table',
  'generate_series',
])

/** `= any(?)`, `unnest(?)`, `find_in_set(a, ?)`: one parameter that holds many values. */
function takesArray(tokens: readonly Token[], index: number): boolean {
  const { kind, key } = tokens[index] as Token
  if (kind !== 'word' || !(setFunctions.has(key) || arrayOperators.get(key)?.(tokens[index - 1]?.key))) return false
  const next = tokens[index + 1]
  if (next?.kind !== 'list' && next?.key !== '(') return false
  const content = tokens.slice(index + 1, closing(tokens, index + 1))
  return content.some(({ parameters }) => parameters.length > 0) && content.every(({ key }) => key !== 'select')
}

/** Words before a list in parentheses, and what must stand before the word. */
const arrayOperators = new Map<string, (before: string | undefined) => boolean>([
  ['any', (before) => before === '='],
  ['some', (before) => before === '='],
  ['all', (before) => before === '<>' || before === '!='],
  ['of', (before) => before === 'member'],
  ['find_in_set', () => true],
])

/** Whether the token is the sign of a number, not an operator. */
function isSignOfNumber(tokens: readonly Token[], index: number): boolean {
  const { key } = tokens[index] as Token
  if ((key !== '-' && key !== '+') || tokens[index + 1]?.kind !== 'literal') return false
  const before = tokens[index - 1]
  if (before === undefined || isOperator(before)) return true
  return (
    before.key === '(' ||
    before.key === ',' ||
    before.key === '[' ||
    (before.kind === 'word' && beforeValue.has(before.key))
  )
}

function isOperator(token: Token | undefined): boolean {
  return token?.kind === 'sign' && operators.has(token.key)
}

const beforeValue = new Set([
  'select',
  'and',
  'or',
  'not',
  'when',
  'then',
  'else',
  'between',
  'limit',
  'offset',
  'where',
  'like',
  'is',
  'by',
  'on',
  'default',
  'interval',
])
