import type { OperationNode } from 'kysely'
import { type QueryNode, walkQuery } from '../../shared/sql/query-tree.ts'

/** Whether columns of the query's tables may depend on the time zone of the session. */
export interface ZonedColumns {
  isColumnZoned(column: OperationNode): boolean
  /** Undefined if no table has such a column. */
  isNameZoned(name: string): boolean | undefined
}

/**
 * Whether the value of an expression may depend on the time zone of the session. Functions may be the user's own, so it may
 * unless all words are known: as columns that do not, or as words of SQL.
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
  // A backslash may be a part of a text, or escape its end.
  const code = sql.includes('\\') ? sql : sql.replaceAll(/'[^']*'/g, ' ')
  const words = code
    .replaceAll(/\b(?:collate|character set|charset|using)\s+\w+/gi, ' ')
    .match(/[^\s()+\-*/%,.<>=!|&^~?:;'"`]+/g)
  return (words ?? []).filter((word) => !/^(\d+|\d+e\d+|0x[\da-f]+)$/i.test(word))
}

/** `date_format()` is missing: its `%Z` is the zone. */
const steadyWords: ReadonlySet<string> = /* @__PURE__ */ (() =>
  new Set(
    (
      'and or xor not is null true false in between like rlike regexp escape case when then else end as from for distinct ' +
      'separator div mod binary over partition by order asc desc rows range unbounded preceding following current row ' +
      'interval microsecond second minute hour day week month quarter year signed unsigned integer int bigint decimal ' +
      'double float char varchar date time datetime cast convert extract abs ceil ceiling floor round truncate sign sqrt ' +
      'pow power exp ln log log2 log10 greatest least coalesce ifnull nullif if isnull concat concat_ws lower lcase upper ' +
      'ucase length octet_length char_length character_length substr substring substring_index mid left right trim ltrim ' +
      'rtrim leading trailing both lpad rpad replace reverse repeat instr locate position field elt find_in_set ascii ord ' +
      'hex unhex md5 sha1 sha2 crc32 soundex conv inet_aton inet6_aton json_extract json_value json_unquote json_quote ' +
      'json_length json_contains json_type regexp_replace regexp_substr regexp_instr dayofmonth dayofweek dayofyear ' +
      'weekday weekofyear yearweek last_day to_days to_seconds datediff timestampdiff date_add date_sub time_to_sec count ' +
      'sum avg min max stddev variance group_concat bit_and bit_or bit_xor row_number rank dense_rank ntile lag lead ' +
      'first_value last_value percent_rank cume_dist'
    ).split(' '),
  ))()
