/**
 * The positions of parameters that PostgreSQL may compute with while it plans the query, as in `make_date(2024, $1, 1)`,
 * `10 / $1` or `$1::text::int`. A bad value is then an error even if no row is read.
 *
 * A parameter with at most one cast, which then is its type, is left out if it is only compared, stands alone in a list,
 * or meets a column, whose value the planner does not know. In case of doubt, a parameter is included.
 *
 * @param tokens - words, names, texts, parameters, signs and white space, which together are the query
 */
export function foldedPositions(tokens: readonly string[]): number[] {
  const solid = withOperators(tokens)
  const folded = new Set<number>()
  const seen = new Set<string>()
  for (const [index, token] of solid.entries()) {
    if (!/^\$\d/.test(token)) continue
    // A parameter's type comes from its first place in the query, so a cast in a later place is a computation.
    if (seen.has(token) || isComputedWith(solid, index)) folded.add(Number(token.slice(1)) - 1)
    seen.add(token)
  }
  return [...folded]
}

/** The tokens without white space, and each operator as one token. */
function withOperators(tokens: readonly string[]): string[] {
  const solid: string[] = []
  let isSpaced = true
  for (const token of tokens) {
    const isSpace = /^\s/.test(token)
    if (!isSpace && !isSpaced && isOperator(token) && isOperator(solid.at(-1))) solid.push(`${solid.pop()}${token}`)
    else if (!isSpace) solid.push(token)
    isSpaced = isSpace
  }
  return solid
}

function isOperator(token: string | undefined): boolean {
  return token !== undefined && /^[-+*/<>=~!@#%^&|?]+$/.test(token)
}

/** The parameter with its cast and the parentheses around both. */
interface Operand {
  readonly start: number
  readonly end: number
}

function isComputedWith(tokens: readonly string[], index: number): boolean {
  const operand = operandOf(tokens, index)
  if (operand === undefined) return true
  const { start, end } = operand
  const before = tokens[start - 1] as string
  const after = tokens[end + 1]
  const meetsLeft = columnOperators.has(before)
  const meetsRight = after !== undefined && columnOperators.has(after)
  if (!(meetsLeft ? isColumnBefore(tokens, start - 2) : isPlainBefore(tokens, start))) return true
  if (!(meetsRight ? isColumnAfter(tokens, end + 2) : isPlainAfter(after))) return true
  if (meetsLeft || meetsRight) return false
  if (comparisons.has(before) && isColumnBefore(tokens, start - 2)) return false
  if (after !== undefined && comparisons.has(after) && isColumnAfter(tokens, end + 2)) return false
  return isPassedOn(tokens, start, comparisons.has(before) || comparisons.has(after ?? ''))
}

/** @returns `undefined` when the parameter is cast twice, or is the only argument of a function */
function operandOf(tokens: readonly string[], index: number): Operand | undefined {
  let [start, end] = [index, index]
  let isCast = false
  for (;;) {
    const [before, after] = [tokens[start - 1], tokens[end + 1]]
    const opener = wordAt(tokens, start - 2)
    const isCall = before === '(' && opener === 'cast' && wordAt(tokens, end + 1) === 'as'
    if (after === '::' || isCall) {
      const typeEnd = endOfType(tokens, end + 2)
      if (isCast || tokens[typeEnd + 1] === '(' || (isCall && tokens[typeEnd + 1] !== ')')) return undefined
      isCast = true
      start = isCall ? start - 2 : start
      end = isCall ? typeEnd + 1 : typeEnd
    } else if (before === '(' && after === ')' && !isFunction(tokens, start - 2)) {
      start -= 1
      end += 1
    } else return { start, end }
  }
}

/** The last token of a type, such as `"pg_catalog"."int4"[]` or `timestamp with time zone`. */
function endOfType(tokens: readonly string[], start: number): number {
  let end = start
  while (tokens[end + 1] === '.') end += 2
  while (laterTypeWords.has(wordAt(tokens, end + 1))) end += 1
  while (tokens[end + 1] === '[' && tokens[end + 2] === ']') end += 2
  return end
}

function isPlainBefore(tokens: readonly string[], start: number): boolean {
  const before = wordAt(tokens, start - 1)
  // `~ any ($1)` compiles patterns.
  if (quantifiers.has(before))
    return comparisons.has(tokens[start - 2] as string) || /like$/.test(wordAt(tokens, start - 2))
  return before === '(' || before === ',' || comparisons.has(before) || wordsBefore.has(before)
}

function isPlainAfter(after: string | undefined): boolean {
  if (after === undefined || after === ')' || after === ',' || comparisons.has(after)) return true
  return wordsAfter.has(after.toLowerCase())
}

/**
 * Whether the value becomes an argument of a function, or a column of the query around it, which may compute with the
 * value.
 *
 * @param isCompared - whether the value is part of a comparison
 */
function isPassedOn(tokens: readonly string[], start: number, isCompared: boolean): boolean {
  let position = start
  for (;;) {
    const open = openingBefore(tokens, position)
    if (open === -1) return false
    if (/^(?:select|with)$/.test(wordAt(tokens, open + 1))) {
      return !isCompared && /^(?:select|distinct|,)$/.test(wordAt(tokens, position - 1))
    }
    if (isFunction(tokens, open - 1)) return !aggregates.has(wordAt(tokens, open - 1))
    position = open
  }
}

function openingBefore(tokens: readonly string[], position: number): number {
  let depth = 0
  for (let index = position - 1; index >= 0; index -= 1) {
    if (tokens[index] === ')') depth += 1
    if (tokens[index] !== '(') continue
    if (depth === 0) return index
    depth -= 1
  }
  return -1
}

/** Whether the name before a parenthesis is that of a function. */
function isFunction(tokens: readonly string[], index: number): boolean {
  const word = wordAt(tokens, index)
  return (
    /^["\w\u0080-\uffff]/.test(word) &&
    !wordsBefore.has(word) &&
    !quantifiers.has(word) &&
    !wordsOfParentheses.has(word)
  )
}

/** Whether a column ends here, not a type. */
function isColumnBefore(tokens: readonly string[], index: number): boolean {
  if (!isName(tokens, index)) return false
  let start = index
  while (tokens[start - 1] === '.') start -= 2
  return tokens[start - 1] !== '::' && !laterTypeWords.has(wordAt(tokens, index))
}

/** Whether a column starts here, not a function or a typed text. */
function isColumnAfter(tokens: readonly string[], index: number): boolean {
  let end = index
  while (tokens[end + 1] === '.') end += 2
  const after = tokens[end + 1]
  return isName(tokens, end) && (isPlainAfter(after) || isOperator(after))
}

function isName(tokens: readonly string[], index: number): boolean {
  const word = wordAt(tokens, index)
  if (word.startsWith('"')) return true
  return /^[a-z_\u0080-\uffff]/.test(word) && !wordsBefore.has(word) && !wordsAfter.has(word) && !values.has(word)
}

/** A word in lower case, or the text of another token. */
function wordAt(tokens: readonly string[], index: number): string {
  return tokens[index]?.toLowerCase() ?? ''
}

const setOf = (text: string): ReadonlySet<string> => new Set(text.split(' '))

const comparisons = /* @__PURE__ */ setOf('= <> != < > <= >=')
/**
 * Operators whose failure depends on the row's value. With a column on the other side, PostgreSQL does not compute them
 * early.
 */
const columnOperators = /* @__PURE__ */ setOf('+ - * / % || -> ->> #> #>> @> <@ &&')
const quantifiers = /* @__PURE__ */ setOf('any some all')
const wordsBefore = /* @__PURE__ */ setOf(
  'select distinct where and or not on having when then else case in between like ilike from by limit offset',
)
const wordsAfter = /* @__PURE__ */ setOf(
  'and or as asc desc nulls is not in between like ilike from where group having order limit offset fetch window union intersect except then when else end join inner left right full cross',
)
/** Further words before a parenthesis that does not open a list of arguments. */
const wordsOfParentheses = /* @__PURE__ */ setOf(
  'as over filter exists lateral row group using join union intersect except',
)
const aggregates = /* @__PURE__ */ setOf('count sum avg min max')
const laterTypeWords = /* @__PURE__ */ setOf('precision varying with without time zone')
/** Words for values that the planner knows. */
const values = /* @__PURE__ */ setOf(
  'null true false current_date current_time current_timestamp localtime localtimestamp current_user current_role session_user user current_catalog current_schema',
)
