import type { SqlDialect } from '../../shared/sql/statement.ts'

/** A piece of SQL text. Comments and white space are not tokens. */
export interface Token {
  /**
   * `'placeholder'`: a parameter. `'literal'`: a number or a text in the SQL itself. `'list'`: parentheses around parameters
   * and nothing else. `'word'`: a keyword or a bare name. `'name'`: a quoted name. `'sign'`: everything else.
   */
  readonly kind: 'placeholder' | 'literal' | 'list' | 'word' | 'name' | 'sign'
  readonly text: string
  /** A word in lower case, or a name without its quotes. For other tokens the same as {@link Token.text}. */
  readonly key: string
  /** Whether white space or a comment stands before it. */
  readonly isSpaced: boolean
  /** Where it starts in the SQL. */
  readonly start: number
  /** Positions of the token's parameters in the query's list, from 0. */
  readonly parameters: readonly number[]
}

/** Splits SQL into tokens. Accepts any text, even if it is not valid SQL. */
export function tokenize(sql: string, dialect: SqlDialect | undefined): Token[] {
  const tokens: Token[] = []
  const pattern = dialect === 'mysql' ? mysqlPattern : standardPattern
  const nestsComments = dialect !== 'mysql' && dialect !== 'sqlite'
  // Beside `$1`, PostgreSQL's `?`, `?|` and `?&` are operators of JSON.
  const isNumbered = dialect === 'postgres' && /\$\d/.test(sql)
  let isSpaced = false
  let unnumbered = 0
  pattern.lastIndex = 0
  for (let match = pattern.exec(sql); match !== null; match = pattern.exec(sql)) {
    const [text] = match
    const groups = match.groups as Record<string, string | undefined>
    if (groups.comment !== undefined || groups.space !== undefined) {
      if (groups.comment !== undefined) pattern.lastIndex = endOfComment(sql, match.index, nestsComments)
      isSpaced = true
      continue
    }
    const kind = isNumbered && text === '?' ? 'sign' : (kinds.find((one) => groups[one] !== undefined) as Token['kind'])
    let parameters: readonly number[] = none
    if (kind === 'list' || kind === 'placeholder') {
      parameters = (text.match(placeholderPattern) as string[]).map((one) =>
        one.length === 1 ? unnumbered++ : Number(one.replace(/\D+/g, '')) - 1,
      )
    }
    const key = kind === 'word' ? text.toLowerCase() : kind === 'name' ? text.slice(1, -1) : text
    tokens.push({ kind, text, key, isSpaced, start: match.index, parameters })
    isSpaced = false
  }
  return tokens
}

/** The groups of a pattern that make tokens. */
const kinds: readonly Token['kind'][] = ['word', 'sign', 'name', 'placeholder', 'literal', 'list']

const none: readonly number[] = []

const placeholderPattern = /\$\d+|@\d+|\?\d*/g

/**
 * A text that is never closed reaches to the end, so that no part of it is shown. Each run of plain letters is one step of
 * the pattern: with a step for each letter, a text of 16 MB would overflow the stack.
 */
const standardText = "[bx]?'[^']*(?:''[^']*)*(?:'|$)"
const escapedText = String.raw`'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*(?:'|$)`
const number = String.raw`0x[\da-f]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?`

const standardPattern = /* @__PURE__ */ (() =>
  patternOf({
    comment: String.raw`--|/\*`,
    literal: String.raw`e${escapedText}|${standardText}|\$(?<tag>[a-z_]\w*|)\$[\s\S]*?(?:\$\k<tag>\$|$)|${number}`,
    name: String.raw`"[^"]*(?:""[^"]*)*(?:"|$)|\x60[^\x60]*(?:\x60|$)`,
  }))()

/** In MySQL a backslash escapes, double quotes hold texts, `#` starts a comment, and `--` only with a space behind it. */
const mysqlPattern = /* @__PURE__ */ (() =>
  patternOf({
    comment: String.raw`--(?!\S)|#|/\*`,
    literal: String.raw`[bx]?${escapedText}|"[^"\\]*(?:(?:\\[\s\S]|"")[^"\\]*)*(?:"|$)|${number}`,
    name: String.raw`\x60[^\x60]*(?:\x60|$)`,
  }))()

function patternOf({ comment, literal, name }: Readonly<Record<'comment' | 'literal' | 'name', string>>): RegExp {
  const placeholder = String.raw`\$\d+|@\d+|\?\d*`
  const groups = [
    String.raw`(?<space>\s+)`,
    `(?<comment>${comment})`,
    // A list is one token, because inserts have thousands of parameters.
    String.raw`(?<list>\((?:${placeholder})(?:, ?(?:${placeholder}))*\))`,
    `(?<placeholder>${placeholder})`,
    `(?<literal>${literal})`,
    String.raw`(?<word>[a-z_\u0080-\uffff][\w$\u0080-\uffff]*)`,
    `(?<name>${name})`,
    String.raw`(?<sign>::|<=>|<=|>=|<>|!=|->>|->|\|\||[\s\S])`,
  ]
  return new RegExp(groups.join('|'), 'gi')
}

/** @param nests - whether a `/*` comment may hold others, as in PostgreSQL and SQL Server */
function endOfComment(sql: string, start: number, nests: boolean): number {
  if (sql[start] !== '/') {
    const end = sql.indexOf('\n', start)
    return end === -1 ? sql.length : end
  }
  const edge = nests ? /\/\*|\*\//g : /\*\//g
  edge.lastIndex = start + 2
  let depth = 1
  for (let match = edge.exec(sql); match !== null; match = edge.exec(sql)) {
    depth += match[0] === '/*' ? 1 : -1
    if (depth === 0) return edge.lastIndex
  }
  return sql.length
}
