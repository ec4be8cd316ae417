import { type QueryNode, walkQuery } from './query-tree.ts'

/**
 * Whether the query may read tables that its tree does not name. It may if all of it is raw SQL, if a raw fragment stands
 * in the place of a table, or if a fragment contains a word that a table follows. Other fragments, such as
 * `lower(${name})`, name no table.
 */
export function hasUnknownTables(query: object): boolean {
  if ((query as QueryNode).kind === 'RawNode') return true
  let isUnknown = false
  walkQuery(query, (node) => {
    if (node.kind === 'RawNode') isUnknown ||= mentionsTable(node as unknown as RawNode)
    else isUnknown ||= sourcesOf(node).some((source) => source.kind === 'RawNode' && !isKnownSource(source))
    return !isUnknown
  })
  return isUnknown
}

interface RawNode {
  readonly sqlFragments: readonly string[]
  readonly parameters: readonly QueryNode[]
}

/** What a node reads rows from, without aliases and parentheses. */
function sourcesOf(node: QueryNode): QueryNode[] {
  const fields = sourceFields[node.kind]
  if (fields === undefined) return []
  const sources = fields.flatMap((field) => (node[field] ?? []) as QueryNode | QueryNode[])
  return sources.map((source) => {
    let inner = source
    while (inner.kind === 'AliasNode' || inner.kind === 'ParensNode') inner = inner.node as QueryNode
    return inner
  })
}

const sourceFields: Readonly<Record<string, readonly string[]>> = {
  FromNode: ['froms'],
  UsingNode: ['tables'],
  JoinNode: ['table'],
  CommonTableExpressionNode: ['expression'],
  InsertQueryNode: ['into'],
  UpdateQueryNode: ['table'],
}

/**
 * Whether raw SQL is a source whose tables are known otherwise: a function, a list of values, a sub-query (its text is
 * searched for tables), or only what the tree shows.
 */
function isKnownSource(raw: QueryNode): boolean {
  if (isShown(raw)) return true
  return textsOf(raw as unknown as RawNode).every((text) => knownSource.test(text) && !hasSecondSource(text, 0))
}

const knownSource = /^\s*(?:lateral\s+)?(?:\(\s*(?:select\b|values\s*\()|values\s*\(|(?!only\b)[\w."`]+\s*\()/i

/** Whether the tree shows what the node reads: a table, a query, a list of values, or raw SQL that only encloses them. */
function isShown(node: QueryNode | undefined): boolean {
  if (node === undefined) return false
  if (node.kind === 'AliasNode' || node.kind === 'ParensNode') return isShown(node.node as QueryNode)
  if (node.kind !== 'RawNode') return shownKinds.has(node.kind)
  const { sqlFragments, parameters } = node as unknown as RawNode
  return /^[\s()]*$/.test(sqlFragments.join('')) && parameters.length > 0 && parameters.every(isShown)
}

const shownKinds: ReadonlySet<string> = new Set(['TableNode', 'SelectQueryNode', 'ValuesNode'])

/**
 * The text with `{n}` for each parameter, without quoted texts, and without words that only look like a clause: once for
 * each way in which a database may read it.
 */
function textsOf({ sqlFragments }: RawNode): readonly string[] {
  const text = sqlFragments.reduce((before, fragment, index) => `${before} {${index - 1}} ${fragment}`)
  const readings = partsByHint.flatMap(([hint, parts]) => (hint.test(text) ? [parts] : []))
  return readings.map((parts) => {
    // A quote in a comment or a name does not begin a text.
    const unquoted = text.replace(parts, (part, kept?: string) => {
      if (kept === undefined) return ' x '
      return comment.test(part) ? ' ' : part.replace(/'/g, ' ')
    })
    return unquoted.replace(noClause, ' x ')
  })
}

/** MySQL executes a comment that begins with `/*!`, and reads `--` as two minus signs if no space follows. */
const comment = /^(?:--\s(?!\{)|#|\/\*(?!!))/

/**
 * The quoted texts of SQL, and in a group the comments and names, by a hint that the text may be read so: the standard's,
 * those with escapes, those of MySQL with `#` before a comment, and those of PostgreSQL between dollars.
 */
const partsByHint: readonly (readonly [hint: RegExp, parts: RegExp])[] = [
  [/^/, /(--[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"]|"")*"|`[^`]*`)|'(?:[^']|'')*'/g],
  [/\\['"]/, /(--[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\]|""|\\[\s\S])*"|`[^`]*`)|'(?:[^'\\]|''|\\[\s\S])*'/g],
  [/#/, /(--[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\]|""|\\[\s\S])*"|`[^`]*`)|'(?:[^'\\]|''|\\[\s\S])*'/g],
  [/\$\w*\$/, /(--[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"]|"")*"|`[^`]*`)|'(?:[^']|'')*'|\$(\w*)\$[\s\S]*?\$\2\$/g],
]

const noClause =
  /\bextract\s*\(\s*\w+\s+from\b|\bdistinct\s+from\b|\b(?:replace|insert)(?=\s*\()|\busing\s+\w+\s*(?=\))|\bwith\s+(?:ordinality|ties|time\s+zone)\b/gi

/** Whether the fragment names a table in its text. */
function mentionsTable(raw: RawNode): boolean {
  return textsOf(raw).some((text) => readsTable(text, raw))
}

function readsTable(text: string, raw: RawNode): boolean {
  if (statementWord.test(text) || tableBehindIn.test(text)) return true
  for (const { 1: word = '', index } of text.matchAll(/\b(from|join|straight_join)\b/gi)) {
    const start = index + word.length
    const [, parens = '', parameter, other = ''] = sourceStart.exec(text.slice(start)) ?? []
    const isSubQuery = parens.includes('(') && /^select\b/i.test(other)
    if (parameter === undefined && !isSubQuery && !systemTable.test(other)) return true
    if (parameter !== undefined && !isShown(raw.parameters[Number(parameter)])) return true
    if (hasSecondSource(text, start)) return true
  }
  return false
}

/** Words that name tables in statements and clauses, besides `from` and `join`. */
const statementWord =
  /\b(?:table|into|update|insert|delete|merge|replace|using|with|call|do|exec|execute|truncate|describe)\b/i

/** In SQLite, `id in users` reads a table. Other databases use `in` in functions too. */
const tableBehindIn = /\bin\s+(?!boolean\b|natural\b)(?=[\w"`[])(?<!\bposition\s*\((?:[^()]|\([^()]*\))*in\s+)/i

/** What follows `from` and `join`: a parameter, or a text. */
const sourceStart = /^(\s*(?:lateral\b)?[\s(]*)(?:\{(\d+)\}|(.*))/s

/** Tables of the system, which the application does not write. */
const systemTable = /^(?:pg_catalog|information_schema)\.\w+/i

/** Whether a comma follows in the list of sources, so that there is another source of any kind. */
function hasSecondSource(text: string, start: number): boolean {
  let depth = 0
  for (const { 0: piece } of text.slice(start).matchAll(/[(),]|\b\w+\b/g)) {
    if (piece === '(') depth += 1
    else if (piece === ')') depth -= 1
    if (depth < 0 || (depth === 0 && clauseWord.test(piece))) return false
    if (piece === ',' && depth === 0) return true
  }
  return false
}

const clauseWord = /^(?:where|group|having|window|order|limit|offset|fetch|for|union|intersect|except|returning)$/i
