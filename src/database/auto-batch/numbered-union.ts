import {
  AliasNode,
  CompiledQuery,
  IdentifierNode,
  type OperationNode,
  type QueryCompiler,
  RawNode,
  ReferenceNode,
  type SelectQueryNode,
  type TableNode,
} from 'kysely'
import { columnOf } from '../../shared/index-advice/query-conditions.ts'
import { walkQuery } from '../../shared/sql/query-tree.ts'
import { hasUnknownTables } from '../../shared/sql/unknown-tables.ts'
import { type Execute, readingQuery } from '../execute.ts'
import {
  compileAround,
  type JoinedSql,
  type JoinPlan,
  placeholder,
  refusalOf,
  unreadableText,
  withNumber,
} from './join-plan.ts'
import { KeyList } from './key-list.ts'
import { isSpace, isWord, namesIn, readableTokens } from './readable-tokens.ts'

type UnionDialect = 'mysql' | 'sqlite'

/** @returns the plan, or why the query cannot be joined */
export function planNumberedUnion(
  query: CompiledQuery,
  dialect: UnionDialect,
  compile: QueryCompiler['compileQuery'],
): JoinPlan | string {
  const tokens = readableTokens(query.sql, dialect)
  if (tokens === undefined) return unreadableText
  if (!hasPlainParameters(tokens, query.parameters.length)) return 'its parameters cannot be told from its text'
  const node = query.query as SelectQueryNode
  const refusal =
    refusalOf(namesIn(tokens), tokens) ??
    unknownFunction(tokens) ??
    (dialect === 'mysql' ? cutValue(tokens) : undefined) ??
    refusalOfNode(node, dialect)
  if (refusal !== undefined) return refusal
  const parts = compileAround(withNumber(node, RawNode.createWithSql(placeholder)), query, compile)
  if (parts === undefined) return 'it contains our placeholder'
  const keyList = dialect === 'mysql' ? KeyList.of(query, compile) : undefined
  return new NumberedUnion(parts.before, parts.after, node, dialect, keyList)
}

/**
 * `(select …, 1 as n from …) union all (select …, 2 as n from …)`: one round trip for copies of the query. Lookups by an
 * integer on MySQL become a {@link KeyList} instead.
 */
class NumberedUnion implements JoinPlan {
  readonly sharedPositions: readonly number[] = []
  readonly proof: 'none' | 'columns'
  readonly learn: JoinPlan['learn']
  readonly #keyList: KeyList | undefined
  readonly #open: string
  readonly #close: string

  constructor(
    before: string,
    after: string,
    node: SelectQueryNode,
    dialect: UnionDialect,
    keyList: KeyList | undefined,
  ) {
    this.#keyList = keyList
    this.learn =
      dialect === 'sqlite'
        ? refusalOfDriver
        : async (execute) => {
            // If the catalogue cannot be read, the union still works.
            await keyList?.learn(execute).catch(() => {})
            return (await refusalOfSession(execute)) ?? (await refusalOfViews(execute, node))
          }
    // In SQLite, each value has its own type, so a union changes none.
    this.proof = dialect === 'sqlite' ? 'none' : 'columns'
    const hasLimit = (node.limit ?? node.fetch) !== undefined
    // A branch without a limit would lose its order.
    const noLimit = dialect === 'mysql' ? limitless : '-1'
    const end = node.orderBy !== undefined && !hasLimit ? `${after} limit ${noLimit}` : after
    const needsTable = node.with !== undefined || (dialect === 'sqlite' && (hasLimit || node.orderBy !== undefined))
    const open = needsTable ? 'select * from (' : dialect === 'mysql' ? '(' : ''
    const close = needsTable ? ') as posthaste_x' : dialect === 'mysql' ? ')' : ''
    this.#open = `${open}${before}`
    this.#close = `${end}${close}`
  }

  join(lookups: readonly CompiledQuery[]): JoinedSql {
    return (
      this.#keyList?.join(lookups) ?? {
        sql: lookups.map((_, index) => `${this.#open}${index + 1}${this.#close}`).join(' union all '),
        parameters: lookups.flatMap(({ parameters }) => parameters),
      }
    )
  }
}

/** Prisma's drivers of SQLite take the type of a computed column from its first row, and cut the numbers in other rows. */
async function refusalOfDriver(execute: Execute): Promise<string | undefined> {
  const { rows } = await execute(readingQuery('select 1 as x union all select 0.5'))
  const { x } = rows[1] as { readonly x?: unknown }
  return x === 0.5 ? undefined : 'the driver reads a column as its first row has it'
}

/** `sql_select_limit` of the session limits the rows of each SELECT. It would limit the rows of all lookups together. */
async function refusalOfSession(execute: Execute): Promise<string | undefined> {
  try {
    const { rows } = await execute(CompiledQuery.raw('select cast(@@sql_select_limit as char) as most'))
    const [first] = rows as { readonly most?: unknown }[]
    // The options `rowsAsArray` and `nestTables` of mysql2.
    if (first !== undefined && !('most' in first)) return 'the rows of the driver are no plain objects'
    return String(first?.most) === limitless ? undefined : 'sql_select_limit is set'
  } catch (error) {
    if ((error as { readonly errno?: unknown }).errno === unknownVariable) return undefined
    throw error
  }
}

/** A view may hide functions whose results a union may cut. */
async function refusalOfViews(execute: Execute, node: SelectQueryNode): Promise<string | undefined> {
  const names: unknown[][] = []
  walkQuery(node, ({ kind, table }) => {
    if (kind === 'TableNode') {
      const { schema, identifier } = table as TableNode['table']
      names.push([schema?.name ?? null, identifier.name])
    }
    return kind !== 'ReferenceNode'
  })
  if (names.length === 0) return undefined
  const one =
    'select 1 as x from information_schema.views where table_schema = coalesce(?, database()) and table_name = ?'
  const { rows } = await execute(CompiledQuery.raw(names.map(() => one).join(' union all '), names.flat()))
  return rows.length === 0 ? undefined : 'it reads a view, and a union may cut what that computes'
}

/** Databases that speak MySQL's protocol may lack the setting. */
const unknownVariable = 1193

/** MySQL's way to say that there is no limit. */
const limitless = '18446744073709551615'

function refusalOfNode(node: SelectQueryNode, dialect: UnionDialect): string | undefined {
  if (node.setOperations !== undefined || node.with?.recursive) return 'it is a union or a recursive query'
  const isRaw = node.selections === undefined || node.endModifiers !== undefined
  if (isRaw || (dialect === 'mysql' && hasUnknownTables(node))) return 'parts of it are raw SQL'
  if (dialect === 'sqlite' || node.with !== undefined) {
    if (mayRepeatColumn(node)) return 'two of its columns may have the same name'
  }
  // A parameter in a selected expression decides the column's type. The branches together would decide on another type.
  if (dialect === 'mysql' && hasValueOutsideConditions(node))
    return 'what it selects, groups or sorts by has a parameter'
  return undefined
}

/** Of two columns with one name, a derived table renames the second. SQLite does so in a union too. */
function mayRepeatColumn({ selections = [], joins, from }: SelectQueryNode): boolean {
  const names = selections.map((selection) => columnName(selection.selection))
  if (names.includes(undefined)) return true
  if (new Set(names.map((name) => name?.toLowerCase())).size < names.length) return true
  return names.includes('*') && (names.length > 1 || joins !== undefined || from?.froms.length !== 1)
}

function columnName(node: OperationNode): string | undefined {
  if (AliasNode.is(node)) return IdentifierNode.is(node.alias) ? node.alias.name : undefined
  if (!ReferenceNode.is(node)) return node.kind === 'SelectAllNode' ? '*' : undefined
  return columnOf(node)?.column ?? '*'
}

const conditionKinds = new Set(['WhereNode', 'HavingNode', 'OnNode', 'LimitNode', 'OffsetNode'])

function hasValueOutsideConditions(part: unknown): boolean {
  if (Array.isArray(part)) return part.some(hasValueOutsideConditions)
  if (typeof part !== 'object' || part === null) return false
  const { kind, immediate } = part as OperationNode & { readonly immediate?: boolean }
  if (conditionKinds.has(kind)) return false
  if (kind === 'ValueNode' || kind === 'PrimitiveValueListNode') return immediate !== true
  return Object.values(part).some(hasValueOutsideConditions)
}

/**
 * Whether each `?` is a parameter. A name or text must not hold another one, because some versions of `mysql2` replace
 * that too.
 */
function hasPlainParameters(tokens: readonly string[], count: number): boolean {
  let found = 0
  for (const [index, token] of tokens.entries()) {
    if (token === '?' && /^\d/.test(tokens[index + 1] ?? '')) return false
    if (token === '?') found += 1
    else if (token.includes('?')) return false
  }
  return found === count
}

/**
 * MySQL and SQLite have no catalogue that tells what functions do. So only queries whose functions are on our list are
 * joined.
 */
function unknownFunction(tokens: readonly string[]): string | undefined {
  const solid = tokens.filter((token) => !isSpace(token))
  const name = solid.find((token, index) => {
    if (solid[index + 1] !== '(' || !/^[\w"`\u0080-\uffff]/.test(token) || /^\d/.test(token)) return false
    return !isWord(token) || !knownBeforeParenthesis.has(token.toLowerCase())
  })
  return name === undefined ? undefined : `the function ${name} is not on the list`
}

const knownBeforeParenthesis = /* @__PURE__ */ (() =>
  new Set(
    'in exists and or not as on over from join select where by when then else case union all using any having values distinct with count sum avg min max coalesce ifnull nullif lower upper length char_length concat round abs cast substr substring trim date year month day row_number rank dense_rank lag lead json_object json_array json_extract json_group_array json_arrayagg group_concat greatest least if between like is'.split(
      ' ',
    ),
  ))()

/**
 * In a union, MariaDB gives each column the length that it expects, and cuts longer values. It expects too short a length
 * for texts made from a `double(10, 3)`, and for a rounded `double`.
 */
function cutValue(tokens: readonly string[]): string | undefined {
  const solid = tokens.filter((token) => !isSpace(token)).map((token) => token.toLowerCase())
  // For each open parenthesis: the clause around it, and the clause inside it.
  const clauses: [outer: Clause, inner: Clause][] = [['source', 'source']]
  for (const [index, token] of solid.entries()) {
    const clause = clauses.at(-1) as [Clause, Clause]
    const [outer, inner] = clause
    if (token === '(') clauses.push([inner, inner])
    else if (token === ')' && clauses.length > 1) clauses.pop()
    else if (outer !== 'condition' && clauseWords.has(token)) clause[1] = clauseWords.get(token) as Clause
    else if (inner === 'value' && mayBeCut.has(token) && (/^(?:case|\|\|)$/.test(token) || solid[index + 1] === '('))
      return `a union may cut what ${token} gives`
  }
  return undefined
}

/** The kind of a clause. A condition, with the queries in it, makes no value of a row. A query in a FROM does. */
type Clause = 'source' | 'value' | 'condition'

const clauseWords: ReadonlyMap<string, Clause> = /* @__PURE__ */ (() =>
  new Map<string, Clause>([
    ['select', 'value'],
    ['from', 'source'],
    ['join', 'source'],
    ...['on', 'where', 'group', 'having', 'order', 'limit'].map((word): [string, Clause] => [word, 'condition']),
  ]))()

const mayBeCut: ReadonlySet<string> = /* @__PURE__ */ (() =>
  new Set(
    // With the mode PIPES_AS_CONCAT, `||` is `concat`.
    '|| case cast coalesce concat greatest if ifnull least lower nullif round substr substring trim upper'.split(' '),
  ))()
