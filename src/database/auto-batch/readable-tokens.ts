import type { SqlDialect } from '../../shared/sql/statement.ts'
import { type Token, tokenize } from '../fingerprint/sql-tokens.ts'

/**
 * Splits SQL into strings, quoted names, words, parameters, numbers, white space and signs. Joined, the tokens are the
 * text.
 *
 * @returns `undefined` when the text holds anything that would need the database's own lexer: comments, backslashes,
 *   dollar quotes, strings with a prefix, several statements
 */
export function readableTokens(sql: string, dialect: SqlDialect): string[] | undefined {
  const texts: string[] = []
  let end = 0
  for (const token of tokenize(sql, dialect)) {
    const between = sql.slice(end, token.start)
    if (!isBlank(between) || isRisky(token, sql.charAt(token.start - 1), dialect)) return undefined
    if (between !== '') texts.push(between)
    if (token.kind === 'list') texts.push(...(token.text.match(/\$\d+|\s+|[^$\s]/g) as string[]))
    else texts.push(token.text)
    end = token.start + token.text.length
  }
  const rest = sql.slice(end)
  if (rest !== '') texts.push(rest)
  return isBlank(rest) ? texts : undefined
}

function isBlank(text: string): boolean {
  return text.trim() === ''
}

function isRisky({ kind, text }: Token, before: string, dialect: SqlDialect): boolean {
  // A word that follows a digit without a space.
  if (kind === 'word') return /\d/.test(before)
  if (/[\\;]/.test(text) && (kind === 'sign' || text.includes('\\'))) return true
  if (kind === 'literal' && /^\d|^\./.test(text)) return false
  if (kind === 'literal' || kind === 'name') {
    const quote = text.charAt(0)
    if (quote === '`' && dialect === 'postgres') return true
    // E'…', U&'…', _utf8'…', $$…$$, and texts that are never closed.
    const inner = text.slice(1, -1).replaceAll(quote + quote, '')
    const isClosed = text.length > 1 && text.endsWith(quote) && !inner.includes(quote)
    return !/['"`]/.test(quote) || !isClosed || /[\w&$\u0080-\uffff]/.test(before)
  }
  if (text === '$') return true
  return dialect !== 'postgres' && /[@:]/.test(text)
}

export function isWord(token: string): boolean {
  return /^[A-Za-z_\u0080-\uffff]/.test(token)
}

export function isSpace(token: string): boolean {
  return /^\s/.test(token)
}

/** The position of a PostgreSQL parameter, from 0; `undefined` for another token. */
export function parameterPosition(token: string): number | undefined {
  return /^\$\d/.test(token) ? Number(token.slice(1)) - 1 : undefined
}

/** Every word, in lower case, and every quoted name. */
export function namesIn(tokens: readonly string[]): Set<string> {
  const names = new Set<string>()
  for (const token of tokens) {
    if (isWord(token)) names.add(token.toLowerCase())
    else if (/^["`]/.test(token)) names.add(token.slice(1, -1).replaceAll('""', '"').replaceAll('``', '`'))
  }
  return names
}
