import { type OperationNode, type SelectQueryNode, ValueNode } from 'kysely'
import { type AdvisorDatabase, allOf, identifier, raw } from './advisor-database.ts'
import { type IndexCandidate, rowsWanted } from './index-candidates.ts'
import { type PlanNode, planIn } from './postgres-plan.ts'
import type { NamedTable } from './query-conditions.ts'
import { regclass } from './table-indexes.ts'

/** The plan of a query on PostgreSQL, and the settings that its planner calculates with. */
interface PostgresPlan {
  readonly root: PlanNode
  readonly randomPageCost: number
  readonly seqPageCost: number
}

export async function readPostgresPlan(query: SelectQueryNode, database: AdvisorDatabase): Promise<PostgresPlan> {
  const root = planIn(await database.read({ ...query, explain: raw`explain (format json)` as never }))
  const [costs] = await database.read(
    raw`select current_setting('random_page_cost')::float8 as random, current_setting('seq_page_cost')::float8 as seq`,
  )
  return { root, randomPageCost: Number(costs?.random), seqPageCost: Number(costs?.seq) }
}

/** A plan that costs less takes no time, with or without an index. A scan of a thousand rows costs about this. */
const littleCost = 20

/** The same for a sort: about a millisecond. */
const littleSortCost = 100

/**
 * Estimates which share of its cost the query would have with the index, by the formulas of PostgreSQL's own planner
 * (`src/backend/optimizer/path/costsize.c`) and its own estimates of rows. Where a formula depends on something unknown,
 * such as the order of the rows on disk, the more expensive case is assumed.
 *
 * @returns `Infinity` when the index would not be used
 */
export async function postgresShare(
  candidate: IndexCandidate,
  query: SelectQueryNode,
  plan: PostgresPlan,
  database: AdvisorDatabase,
): Promise<number> {
  const path = pathTo(plan.root, candidate.table.name)
  if (path === undefined || plan.root['Total Cost'] < littleCost) return Infinity
  const cost =
    candidate.joinedBy.length > 0
      ? await costOfLookups(candidate, path, plan, database)
      : await costOfReading(candidate, path, query, plan, database)
  return cost / plan.root['Total Cost']
}

/** The cost if the table is looked up once for each row that is joined with it. */
async function costOfLookups(
  { table, source, conditions, joinedBy }: IndexCandidate,
  path: readonly PlanNode[],
  { root, randomPageCost }: PostgresPlan,
  database: AdvisorDatabase,
): Promise<number> {
  const at = path.findLastIndex((node) => node['Join Type'] !== undefined)
  const join = path[at]
  const own = join?.Plans?.indexOf(path[at + 1] as PlanNode)
  const type = join?.['Join Type']
  if (!(type === 'Inner' || (type === 'Left' && own === 1) || (type === 'Right' && own === 0))) return Infinity
  // Here the table is the outer side of a nested loop: it looks up the other side, and is not looked up itself.
  if (join?.['Node Type'] === 'Nested Loop' && own === 0) return Infinity
  const outer = withoutStorage(join?.Plans?.[own === 0 ? 1 : 0] as PlanNode)
  if (joinedBy.some(({ other }) => pathTo(outer, other) === undefined)) return Infinity
  // A sub-select stands for the value of the joined row: the planner does not know either in advance.
  const lookups = joinedBy.map(({ column }) => {
    const name = identifier(column)
    return raw`${identifier(table.name)}.${name} = (select ${name} from ${table.table} limit 1)`
  })
  const found = await rowsOf(source, [...lookups, ...conditions], database)
  const perRow = randomPageCost + 0.02 + costOfSubPlans(path.at(-1) as PlanNode)
  const perLookup = descentCost + randomPageCost + found * perRow
  // If workers share the outer rows, each looks up its part. If they shared the table's scan, the Gather goes away with
  // that scan.
  const gather = isPartial(outer) ? undefined : path.find((node) => node['Workers Planned'] !== undefined)
  const rest = root['Total Cost'] - ((gather ?? join) as PlanNode)['Total Cost']
  return rest + outer['Total Cost'] + outer['Plan Rows'] * perLookup
}

/** The cost if the table is read by itself, through the index. */
async function costOfReading(
  { table, source, conditions, isOrdered }: IndexCandidate,
  path: readonly PlanNode[],
  query: SelectQueryNode,
  { root, randomPageCost, seqPageCost }: PostgresPlan,
  database: AdvisorDatabase,
): Promise<number> {
  const scan = path.at(-1) as PlanNode
  if (isReadPerRow(path)) return Infinity
  const rows = await rowsOf(source, conditions, database)
  const pages = await pagesOf(table, database)
  const fetched = Math.min(pages, (2 * pages * rows) / (2 * pages + rows))
  const perPage = randomPageCost - (randomPageCost - seqPageCost) * Math.sqrt(fetched / pages)
  const inIndex = descentCost + randomPageCost * Math.ceil((rows * entryBytes) / pageBytes)
  const perRow = 0.0175 + 0.0025 * conditions.length + costOfSubPlans(scan)
  const unordered = inIndex + fetched * Math.max(perPage, seqPageCost) + rows * perRow
  const gatherAt = path.findIndex((node) => node['Workers Planned'] !== undefined)
  // The cost of the nodes between `from` and the scan, except nodes whose work the index saves. Inside a Gather, the cost
  // shown is that of one worker.
  const workAbove = (from: number, saved: (node: PlanNode) => boolean) =>
    path.slice(0, -1).reduce((sum, node, at) => {
      if (at <= from || at === gatherAt || saved(node)) return sum
      const workers = gatherAt >= 0 && at > gatherAt ? 1 + (path[gatherAt]?.['Workers Planned'] ?? 0) : 1
      return sum + workers * (node['Total Cost'] - (path[at + 1] as PlanNode)['Total Cost'])
    }, 0)
  const limitAt = path.findIndex((node) => node['Node Type'] === 'Limit')
  const replaced = gatherAt >= 0 ? (path[gatherAt] as PlanNode) : scan
  const inGather = gatherAt >= 0 ? workAbove(gatherAt, () => false) : 0
  const filtered = root['Total Cost'] - replaced['Total Cost'] * shareRead(path, limitAt) + inGather + unordered
  const wanted = isOrdered ? rowsWanted(query) : undefined
  // Other joins read all rows before they return the first one.
  const isStreamed = path
    .slice(limitAt + 1, -1)
    .every((node) => isSort(node) || /Nested Loop|Gather/.test(node['Node Type']))
  if (wanted === undefined || limitAt < 0 || !isStreamed || root['Total Cost'] < littleSortCost) return filtered
  const share = Math.min(1, wanted / Math.max(1, (path[limitAt + 1] as PlanNode)['Plan Rows']))
  const ordered = (inIndex + fetched * randomPageCost + rows * perRow) * share
  const rest = root['Total Cost'] - (path[limitAt] as PlanNode)['Total Cost']
  return Math.min(filtered, ordered + rest + workAbove(limitAt, isSort))
}

const pageBytes = 8_192
/**
 * The size of an entry of two integers with its header, in a page that is not full. Most indexes of few columns have this
 * size.
 */
const entryBytes = 40
/** The cost of the way from the root of an index to a leaf. */
const descentCost = 0.5

/**
 * Finds the only scan of the table, and the nodes above it; `undefined` if a sub-plan reads the table, or it is read
 * several times.
 */
function pathTo(node: PlanNode, alias: string): PlanNode[] | undefined {
  if (node.Alias === alias) return [node]
  const children = (node.Plans ?? []).filter(
    (child) => !['InitPlan', 'SubPlan'].includes(child['Parent Relationship'] as string),
  )
  const [path, another] = children.flatMap((child) => {
    const below = pathTo(child, alias)
    return below === undefined ? [] : [below]
  })
  return path === undefined || another !== undefined ? undefined : [node, ...path]
}

/** What sub-selects among the columns and conditions cost for each row. An index of the table does not save that. */
function costOfSubPlans({ Plans = [] }: PlanNode): number {
  const subPlans = Plans.filter((plan) => plan['Parent Relationship'] === 'SubPlan')
  return subPlans.reduce((sum, plan) => sum + plan['Total Cost'], 0)
}

function isSort(node: PlanNode): boolean {
  return node['Node Type'].endsWith('Sort')
}

/** Whether the scan runs again for each row of another table. */
function isReadPerRow(path: readonly PlanNode[]): boolean {
  return path.some(
    (node, at) => node['Node Type'] === 'Nested Loop' && node.Plans?.indexOf(path[at + 1] as PlanNode) === 1,
  )
}

/** Which share of a scan runs below a LIMIT: all of it, if a node between them needs all rows. */
function shareRead(path: readonly PlanNode[], limitAt: number): number {
  const [limit, below] = [path[limitAt], path[limitAt + 1]]
  if (limit === undefined || below === undefined) return 1
  if (path.slice(limitAt + 1, -1).some((node) => !/Nested Loop|Gather$|Subquery Scan/.test(node['Node Type']))) return 1
  return Math.min(
    1,
    (limit['Total Cost'] - below['Startup Cost']) / Math.max(0.01, below['Total Cost'] - below['Startup Cost']),
  )
}

/** Whether workers share the rows of the plan. */
function isPartial(node: PlanNode): boolean {
  return node['Parallel Aware'] === true || (node.Plans ?? []).some(isPartial)
}

/** The rows of the other side of a join, without a node that only stores them. */
function withoutStorage(node: PlanNode): PlanNode {
  const [child] = node.Plans ?? []
  return child !== undefined && ['Hash', 'Sort', 'Materialize', 'Memoize'].includes(node['Node Type'])
    ? withoutStorage(child)
    : node
}

/** How many rows the planner expects. */
async function rowsOf(
  source: OperationNode,
  conditions: readonly OperationNode[],
  database: AdvisorDatabase,
): Promise<number> {
  const rows = await database.read(raw`explain (format json) select 1 from ${source} where ${allOf(conditions)}`)
  return planIn(rows)['Plan Rows']
}

async function pagesOf({ table }: NamedTable, database: AdvisorDatabase): Promise<number> {
  const name = ValueNode.create(regclass(table.table.schema?.name, table.table.identifier.name))
  const [row] = await database.read(raw`select pg_relation_size(to_regclass(${name}::text))::float8 as bytes`)
  return Math.max(1, Number(row?.bytes) / pageBytes)
}
