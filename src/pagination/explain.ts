import { AssertionError } from 'node:assert'
import type { ExplainNode, OperationNode } from 'kysely'
import { RawNode } from 'kysely'
import { type NamedTable, type PageShape, shapeOf } from './advice.ts'
import { indexFor, lookupIndexFor } from './advice-ddl.ts'
import type { PaginatorContext } from './context.ts'
import { PageInvalidError, QueryUnsupportedError } from './errors.ts'
import { catalogQuery } from './explain-catalog.ts'
import { readMysqlPlan } from './explain-mysql.ts'
import type { Access, PlanReading } from './explain-plan.ts'
import { readPostgresPlan } from './explain-postgres.ts'
import { readSqlitePlan } from './explain-sqlite.ts'
import { List, type ListOptions } from './list.ts'
import { reversed } from './order.ts'
import type { OrderedQuery } from './ordered-query.ts'
import { expectFromClient } from './page-size.ts'
import { raw } from './raw.ts'
import type { Row, SelectQuery, Source } from './source.ts'
import type { OrderOptions } from './types.ts'

/** The options of the page to look at: those of `paginate` or `cursorPaginate`. */
export interface ExplainOptions<DB, TB extends keyof DB, O> extends OrderOptions<DB, TB, O> {
  /** @defaultValue 10 */
  readonly perPage?: number | undefined
  /** A page from the second on is read by OFFSET, which is a scan of what comes before it. @defaultValue 1 */
  readonly page?: number | undefined
  /** Looks at the page that follows this cursor. */
  readonly after?: string | null | undefined
  /** Looks at the page that stands before this cursor. */
  readonly before?: string | null | undefined
  /** Looks at the first or the last page. @defaultValue 'start' */
  readonly from?: 'start' | 'end' | undefined
  /** What the cursor belongs to, besides the order. */
  readonly scope?: unknown
  /** Runs the statement, to count the rows that it reads. @defaultValue false */
  readonly analyze?: boolean | undefined
}

/** How the database comes by a page. */
export interface PageExplanation {
  /**
   * - `'seek'`: it goes to the page by an index, and reads its rows alone
   * - `'scan'`: it reads other rows too, and throws them away
   * - `'sort'`: it sorts the list before it gives the first row
   */
  readonly access: Access
  /** The `create index` that makes the page a seek; absent when it is one, and when no index does. */
  readonly index?: string | undefined
  /** Why no index is given for a page that is no seek. */
  readonly reason?: string | undefined
  /** Rows read from tables and indexes, by the engine's own counters (PostgreSQL, MariaDB; with `analyze`). */
  readonly rowsRead?: number | undefined
  /** The plan, in the engine's own words. */
  readonly plan: string
}

export interface ExplainRequest extends ListOptions {
  readonly perPage?: unknown
  readonly page?: unknown
  readonly after?: unknown
  readonly before?: unknown
  readonly from?: unknown
  readonly analyze?: boolean | undefined
}

/** How the database comes by the page that the request names. */
export async function explainPageQuery(
  query: SelectQuery,
  request: ExplainRequest,
  context: PaginatorContext,
): Promise<PageExplanation> {
  const list = new List(query, request, context)
  const { source } = list
  const { dialect } = source
  const { page = 1, perPage = context.perPage.default, from, analyze = false } = request
  const [after, before] = [request.after ?? undefined, request.before ?? undefined]
  const cursor = after ?? before
  const limit = expectFromClient(perPage, 'perPage', context.perPage.max)
  const skipped = (expectFromClient(page, 'page') - 1) * limit
  if (skipped > 0 && cursor !== undefined) throw new PageInvalidError('Expected `page` or a cursor, got both')
  if (dialect === 'mssql') throw new QueryUnsupportedError('SQL Server gives no plan for a single statement')

  const counts = analyze && (dialect !== 'mysql' || (await isMariadb(source)))
  const backward = cursor === undefined ? from === 'end' : after === undefined
  const { rows, order } = await list.explain(
    {
      limit,
      cursor,
      backward,
      offset: skipped > 0 ? skipped : undefined,
    },
    (statement) => ({
      ...statement,
      explain: RawNode.createWithSql(prefixes[dialect](counts)) as OperationNode as ExplainNode,
    }),
  )
  const found = shapeOf(backward && skipped === 0 ? { ...order, keys: reversed(order.keys) } : order, dialect)
  const obstacle = skipped > 0 ? 'OFFSET reads every row that it skips: page by cursor' : found.obstacle
  const shape = { ...found, obstacle }
  return explanation(await readPlan(rows, shape, order, source, cursor !== undefined), shape, source)
}

const prefixes = {
  sqlite: () => 'explain query plan',
  postgres: (analyze: boolean) => `explain (${analyze ? 'analyze, timing off, ' : ''}format json)`,
  mysql: (analyze: boolean) => `${analyze ? 'analyze' : 'explain'} format=json`,
}

function readPlan(
  rows: readonly Row[],
  shape: PageShape,
  order: OrderedQuery,
  source: Source,
  hasCursor: boolean,
): Promise<PlanReading> {
  if (source.dialect === 'postgres') return readPostgresPlan(rows, shape, source)
  if (source.dialect === 'mysql') return readMysqlPlan(rows, shape, source, hasCursor)
  return readSqlitePlan(rows, shape, order, source)
}

function explanation(reading: PlanReading, shape: PageShape, source: Source): PageExplanation {
  const { access, plan, rowsRead, absent, slowLookup, unused } = reading
  const counted = rowsRead === undefined ? { plan } : { rowsRead, plan }
  const view = absent ? `its plan does not read \`${shape.driving?.name}\`, as if that was a view` : undefined
  const spoiled = shape.obstacle ?? (absent ? (shape.unadvisable ?? view) : undefined)
  if (spoiled !== undefined) return { access: access === 'sort' ? 'sort' : 'scan', reason: spoiled, ...counted }
  if (access === 'seek') return { access, ...counted }
  if (shape.unadvisable !== undefined) return { access, reason: shape.unadvisable, ...counted }
  if (slowLookup !== undefined && (unused !== undefined || access === 'scan')) {
    const index = lookupIndexFor(shape, slowLookup, source)
    if (index !== undefined) return { access, index, ...counted }
    const reason = `\`${slowLookup}\` is read whole, and no index can be named for how it is joined`
    return { access, reason, ...counted }
  }
  if (unused === undefined) return { access, index: indexFor(shape, shape.driving as NamedTable, source), ...counted }
  const reason = `the index \`${unused}\` would serve it, but the planner does not take it: are its statistics up to date?`
  return { access, reason, ...counted }
}

async function isMariadb(source: Source): Promise<boolean> {
  const [row] = await catalogQuery(source, raw`select version() as version`)
  return String(row?.version).includes('MariaDB')
}

/**
 * Asserts that pages are seeks: the page that the options name, or else the first and one behind a cursor.
 *
 * @throws AssertionError with the index to create
 */
export async function expectSeekQuery(
  query: SelectQuery,
  request: ExplainRequest,
  context: PaginatorContext,
): Promise<void> {
  await expectOneSeek(query, request, context, 'the page')
  const named = [request.after, request.before, request.from].some((given) => given !== undefined && given !== null)
  if (named || (request.page ?? 1) !== 1) return
  const list = new List(query, request, context)
  const [row] = (await list.seek({ limit: 1 })).rows
  if (row === undefined) return
  await expectOneSeek(query, { ...request, after: list.cursorAt(row) }, context, 'the page behind a cursor')
}

async function expectOneSeek(
  query: SelectQuery,
  request: ExplainRequest,
  context: PaginatorContext,
  page: string,
): Promise<void> {
  const { access, index, reason, plan } = await explainPageQuery(query, request, context)
  if (access === 'seek') return
  const remedy = index === undefined ? `No index makes it one: ${reason}.` : `This index makes it one:\n\n${index};`
  const message = `Expected ${page} to be a seek, but it is a ${access}. ${remedy}\n\n${plan}`
  throw new AssertionError({ message, actual: access, expected: 'seek', operator: 'expectSeek' })
}
