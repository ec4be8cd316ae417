import type { ExplainNode, OperationNode } from 'kysely'
import { RawNode, SelectionNode, SelectQueryNode } from 'kysely'
import { expectOneOf } from '../../shared/arguments.ts'
import { indexFor } from '../../shared/index-advice/index-definition.ts'
import type { TableNeed } from '../../shared/index-advice/index-need.ts'
import type { NamedTable } from '../../shared/index-advice/query-conditions.ts'
import { nodeAssert } from '../../shared/platform/builtins.ts'
import { expectCall, expectFromClient, explainOptions, maxPerPageOf, type PaginatorSettings } from '../call-options.ts'
import { PageInvalidError, QueryUnsupportedError } from '../errors.ts'
import type { QueryRunner, Row, SelectQuery } from '../seek/query-runner.ts'
import { type SeekOptions, SeekQuery } from '../seek/seek-query.ts'
import { type ResolvedQuery, reversed } from '../seek/sort-keys.ts'
import { raw } from '../seek/sql-nodes.ts'
import { readMysqlPlan } from './mysql-plan.ts'
import { type PageShape, shapeOf } from './page-shape.ts'
import { type Access, catalogQuery, type PlanReading } from './plan-reading.ts'
import { readPostgresPlan } from './postgres-plan.ts'
import { readSqlitePlan } from './sqlite-plan.ts'

/** How the database reads a page. */
export interface PageExplanation {
  /**
   * - `'seek'`: by an index, it reads the rows of the page only
   * - `'scan'`: it reads other rows too, and discards them
   * - `'sort'`: it sorts the whole list before it returns the first row
   */
  readonly access: Access
  /** The `create index` that makes the page a seek; absent when the page is a seek, and when no index helps. */
  readonly index?: string | undefined
  /** Why the page is not a seek, when `index` is absent. */
  readonly reason?: string | undefined
  /**
   * How many rows were read from tables and indexes, as counted by the database. Only PostgreSQL and MariaDB, with
   * `analyze`.
   */
  readonly rowsRead?: number | undefined
  /** The plan as the database writes it. */
  readonly plan: string
}

export interface ExplainRequest extends SeekOptions {
  readonly perPage?: unknown
  readonly page?: unknown
  readonly maxPerPage?: unknown
  readonly after?: unknown
  readonly before?: unknown
  readonly from?: unknown
  readonly analyze?: boolean | undefined
}

/** Explains how the database reads the page of the request. */
export async function explainPageQuery(
  query: SelectQuery,
  request: ExplainRequest,
  settings: PaginatorSettings,
): Promise<PageExplanation> {
  expectCall(query, request, explainOptions)
  const ordered = new SeekQuery(query, request, settings)
  const { runner } = ordered
  const { dialect } = runner
  const { perPage = settings.perPage.default, from, analyze = false } = request
  const [after, before] = [request.after ?? undefined, request.before ?? undefined]
  const cursor = after ?? before
  const limit = expectFromClient(perPage, 'perPage', maxPerPageOf(request.maxPerPage, settings))
  const skipped = (expectFromClient(request.page ?? 1, 'page') - 1) * limit
  if (skipped > 0 && cursor !== undefined) throw new PageInvalidError('Expected `page` or a cursor, got both')
  if (from !== undefined) expectOneOf(from, 'from', ['start', 'end'])
  if (dialect === 'mssql') throw new QueryUnsupportedError('SQL Server gives no plan for a single statement')

  const countsRows = analyze && (dialect !== 'mysql' || (await isMariadb(runner)))
  const isBackward = cursor === undefined ? from === 'end' : after === undefined
  const { rows, resolved } = await ordered.explain(
    { limit, cursor, isBackward, offset: skipped > 0 ? skipped : undefined },
    (statement) => ({
      ...statement,
      explain: RawNode.createWithSql(prefixes[dialect](countsRows)) as OperationNode as ExplainNode,
    }),
  )
  const forward = isBackward && skipped === 0 ? { ...resolved, keys: reversed(resolved.keys) } : resolved
  const readable = shapeOf(forward, dialect)
  const obstacle = skipped > 0 ? 'OFFSET reads every row that it skips: page by cursor' : readable.obstacle
  const shape = { ...readable, obstacle }
  return explanation(await readPlan(rows, shape, resolved, runner, cursor !== undefined), shape, runner)
}

const prefixes = {
  sqlite: () => 'explain query plan',
  postgres: (analyze: boolean) => `explain (${analyze ? 'analyze, timing off, ' : ''}format json)`,
  mysql: (analyze: boolean) => `${analyze ? 'analyze' : 'explain'} format=json`,
}

function readPlan(
  rows: readonly Row[],
  shape: PageShape,
  resolved: ResolvedQuery,
  runner: QueryRunner,
  hasCursor: boolean,
): Promise<PlanReading> {
  if (runner.dialect === 'postgres') return readPostgresPlan(rows, shape, runner)
  if (runner.dialect === 'mysql') return readMysqlPlan(rows, shape, runner, hasCursor)
  return readSqlitePlan(rows, shape, resolved, runner)
}

function explanation(reading: PlanReading, shape: PageShape, runner: QueryRunner): PageExplanation {
  const { access, plan, rowsRead, isTableAbsent } = reading
  const counted = rowsRead === undefined ? { plan } : { rowsRead, plan }
  const view = isTableAbsent ? `its plan does not read \`${shape.driving?.name}\`, as if that was a view` : undefined
  const spoiled = shape.obstacle ?? (isTableAbsent ? (shape.unadvisable ?? view) : undefined)
  if (spoiled !== undefined) return { access: access === 'sort' ? 'sort' : 'scan', reason: spoiled, ...counted }
  if (access === 'seek') return { access, ...counted }
  const remedy = remedyOf(reading, shape)
  if (typeof remedy === 'string') return { access, reason: remedy, ...counted }
  return { access, index: createIndex(remedy, runner), ...counted }
}

/** What an index must have to make the page a seek, or the reason why no index does. */
function remedyOf(
  { access, slowLookup, unusedIndex, unindexable, keepsMostRows }: PlanReading,
  shape: PageShape,
): TableNeed | string {
  if (shape.unadvisable !== undefined) return shape.unadvisable
  if (slowLookup !== undefined && (unusedIndex !== undefined || access === 'scan')) {
    const lookup = shape.lookups.find(({ table }) => table.name === slowLookup)
    return lookup ?? `\`${slowLookup}\` is read whole, and no index can be named for how it is joined`
  }
  if (keepsMostRows) {
    return 'the filters keep most rows of the table, so the planner reads them in order and skips the others'
  }
  if (unindexable !== undefined) {
    return `\`${unindexable}\` is too long for an index: page by another column, or by a generated column of its beginning`
  }
  if (unusedIndex !== undefined) {
    return `the index \`${unusedIndex}\` would serve it, but the planner does not take it: are its statistics up to date?`
  }
  return { ...shape, table: shape.driving as NamedTable }
}

/**
 * Writes the DDL with the query's own compiler. The compiler takes only queries, so the DDL is compiled inside a
 * `select`.
 */
function createIndex(need: TableNeed, runner: QueryRunner): string {
  const { statement } = indexFor(need, runner.dialect)
  const selected = SelectQueryNode.cloneWithSelections(SelectQueryNode.create(), [
    SelectionNode.create(statement as never),
  ])
  return runner.compile(selected).replace(/^select /, '')
}

async function isMariadb(runner: QueryRunner): Promise<boolean> {
  const [row] = await catalogQuery(runner, raw`select version() as version`)
  return String(row?.version).includes('MariaDB')
}

/**
 * Asserts that pages are seeks: the page that the options name, or else the first page and one after a cursor.
 *
 * @throws AssertionError with the index to create
 */
export async function expectSeekQuery(
  query: SelectQuery,
  request: ExplainRequest,
  settings: PaginatorSettings,
): Promise<void> {
  await expectOneSeek(query, request, settings, 'the page')
  const named = [request.after, request.before, request.from].some((given) => given !== undefined && given !== null)
  if (named || (request.page ?? 1) !== 1) return
  const ordered = new SeekQuery(query, request, settings)
  const [row] = (await ordered.seek({ limit: 1 })).rows
  if (row === undefined) return
  await expectOneSeek(query, { ...request, after: ordered.cursorAt(row) }, settings, 'the page behind a cursor')
}

async function expectOneSeek(
  query: SelectQuery,
  request: ExplainRequest,
  settings: PaginatorSettings,
  page: string,
): Promise<void> {
  const { access, index, reason, plan } = await explainPageQuery(query, request, settings)
  if (access === 'seek') return
  const remedy = index === undefined ? `No index makes it one: ${reason}.` : `This index makes it one:\n\n${index};`
  const message = `Expected ${page} to be a seek, but it is a ${access}. ${remedy}\n\n${plan}`
  throw new (nodeAssert().AssertionError)({ message, actual: access, expected: 'seek', operator: 'expectSeek' })
}
