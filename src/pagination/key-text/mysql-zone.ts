import type { OperationNode } from 'kysely'
import { type QueryNode, walkQuery } from '../../shared/sql/query-tree.ts'

/** Whether columns of the query's tables may depend on the time zone of the session. */
export interface ZonedColumns {
  isColumnZoned(column: OperationNode): boolean
  /** Undefined if no table has such a column. */
  isNameZoned(name: string): boolean | undefined
}

/**
 * Whether the value of an expression may depend on the time zone of the session. Functions may be the user's own. So the
 * answer is yes, unless each word is a known word of SQL or a column that does not depend on the zone.
 */
export function mayDependOnZone(expression: OperationNode, columns: ZonedColumns): boolean {
  let isZoned = false
  const isWordZoned = (word: string) => columns.isNameZoned(word) ?? !steadyWords.has(word.toLowerCase())
  walkQuery(expression, (node) => {
    isZoned ||= isNodeZoned(node, columns, isWordZoned)
    return !isZoned && node.kind !== 'ReferenceNode' && node.kind !== 'CollateNode'
  })
  return isZoned
}

function isNodeZoned(node: QueryNode, columns: ZonedColumns, isWordZoned: (word: string) => boolean): boolean {
  switch (node.kind) {
    case 'ReferenceNode':
      return columns.isColumnZoned(node as unknown as OperationNode)
    case 'RawNode':
      return wordsOf((node.sqlFragments as readonly string[]).join(' ')).some(isWordZoned)
    case 'FunctionNode':
    case 'AggregateFunctionNode':
      return !steadyWords.has(String(node.func).toLowerCase())
    case 'IdentifierNode':
      return isWordZoned(String(node.name))
    case 'SelectQueryNode':
      return true
    default:
      return false
  }
}

function wordsOf(sql: string): string[] {
  // A backslash may belong to a text or escape its closing quote, so then texts are not cut out.
  const code = sql.includes('\\') ? sql : sql.replaceAll(/'[^']*'/g, ' ')
  const words = code
    .replaceAll(/\b(?:collate|character set|charset|using)\s+\w+/gi, ' ')
    .match(/[^\s()+\-*/%,.<>=!|&^~?:;'"`]+/g)
  return (words ?? []).filter((word) => !/^(\d+|\d+e\d+|0x[\da-f]+)$/i.test(word))
}

/** Words that do not depend on the time zone. `date_format()` does: its `%Z` is the zone. */
const steadyWords: ReadonlySet<string> = /* @__PURE__ */ (() =>
  new Set(
    (
      'and or not is null true false in between like case when then else end as from distinct div mod over partition by ' +
      'order asc desc interval second minute hour day week month quarter year signed unsigned decimal double char date ' +
      'cast convert extract abs ceil floor round truncate sign sqrt pow ln log greatest least coalesce ifnull nullif if ' +
      'isnull concat concat_ws lower upper length char_length substr substring substring_index left right trim lpad rpad ' +
      'replace reverse instr locate field find_in_set hex md5 crc32 inet_aton inet6_aton json_extract json_value ' +
      'json_unquote json_length regexp_replace datediff timestampdiff count sum avg min max group_concat row_number rank ' +
      'dense_rank'
    ).split(' '),
  ))()
