import { CompiledQuery, type QueryResult } from 'kysely'
import { type PlanNode, planIn } from '../../shared/index-advice/postgres-plan.ts'
import { type Execute, planningLimit } from '../execute.ts'
import { type JoinedSql, numberColumn } from './join-plan.ts'
import { reasonAgainstPlan } from './plan-comparison.ts'

/** A parameter's type, as PostgreSQL has inferred it. */
export interface ParameterType {
  /** With its schema, because `character` alone would mean `character(1)`. */
  readonly name: string
  /** Whether the type is user-defined, such as an enum. */
  readonly isOwn: boolean
  /** Whether the type has an array type that `unnest` turns into single values. */
  readonly hasPlainArray: boolean
}

export interface PostgresFacts {
  readonly types: readonly ParameterType[]
  /** Why a query cannot be joined. */
  readonly refusal: string | undefined
}

type Run = (sql: string, parameters?: readonly unknown[]) => Promise<QueryResult<unknown>>

let preparedCount = 0

/**
 * Lets PostgreSQL infer the types of the query's parameters, looks up every function that the query may call, and
 * compares plans.
 *
 * Everything runs in one transaction, so that all statements reach the same server even behind a pooler. PREPARE executes
 * nothing.
 *
 * @param joinWith - makes the joined statement, then some of its lookups, whose plans are compared
 */
export async function readPostgresFacts(
  execute: Execute,
  sql: string,
  names: ReadonlySet<string>,
  joinWith: (types: readonly ParameterType[]) => readonly JoinedSql[],
): Promise<PostgresFacts> {
  preparedCount += 1
  const name = `posthaste_facts_${preparedCount}`
  const run: Run = (text, parameters = []) => execute(CompiledQuery.raw(text, [...parameters]))
  let isPrepared = false
  await run('begin')
  try {
    // These statements need a time limit, because nobody can cancel them.
    await run(planningLimit)
    await run(`prepare ${name} as ${sql}`)
    isPrepared = true
    const { rows } = await run(factsSql(name), [[...names]])
    await run(`deallocate ${name}`)
    isPrepared = false
    const facts = factsOf(rows[0] as FactsRow, sql)
    if (facts.refusal !== undefined) return facts
    const [joined, ...separate] = joinWith(facts.types)
    return joined === undefined
      ? facts
      : { ...facts, refusal: await comparePlans(run, joined, separate).catch(() => undefined) }
  } finally {
    await run('rollback')
    // The rollback does not remove a prepared statement.
    if (isPrepared) await run(`deallocate ${name}`).catch(() => {})
  }
}

/** EXPLAIN executes nothing either. It fails for a bad value, which says nothing about other lookups. */
async function comparePlans(run: Run, joined: JoinedSql, separate: readonly JoinedSql[]): Promise<string | undefined> {
  const planOf = async ({ sql, parameters }: JoinedSql) =>
    planIn((await run(`explain (format json) ${sql}`, parameters)).rows)
  const plan = await planOf(joined)
  const others: PlanNode[] = []
  for (const query of separate) others.push(await planOf(query))
  return reasonAgainstPlan(plan, others)
}

interface FactsRow {
  readonly facts: {
    readonly types: readonly ParameterType[] | null
    readonly functions: readonly string[] | null
    readonly operators: readonly string[] | null
    readonly hasNumberColumn: boolean
    readonly version: string
  }
}

function factsOf({ facts }: FactsRow, sql: string): PostgresFacts {
  const { types, functions, operators, hasNumberColumn, version } = facts
  const volatile = [...(functions ?? []), ...(operators ?? []).filter((operator) => sql.includes(operator))]
  const refuse = (refusal: string) => ({ types: [], refusal })
  // Databases that speak PostgreSQL's protocol may lack parts of its catalogue.
  if (!version.startsWith('PostgreSQL ')) return refuse(`the database is ${version.split(' ')[0]}, not PostgreSQL`)
  if (volatile.length > 0) return refuse(`it may call what is volatile: ${volatile.join(', ')}`)
  if (hasNumberColumn) return refuse(`a table has a column ${numberColumn}`)
  return { types: types ?? [], refusal: undefined }
}

/**
 * Finds functions by any name in the text, and the functions that views and row-level security call, also through other
 * views. If a column has the name of a volatile function, its query is refused too. That costs nothing but the joining.
 */
const factsSql = (name: string) => `
  with recursive relations (oid) as (
    select oid from pg_catalog.pg_class where relname = any ($1::text[]) and relkind in ('v', 'r', 'p', 'f', 'm')
    union
    select (m.found[1])::oid from relations
    cross join lateral (
      select ev_action::text from pg_catalog.pg_rewrite where ev_class = relations.oid
      union all select polqual::text from pg_catalog.pg_policy where polrelid = relations.oid
    ) as t (tree)
    cross join lateral regexp_matches(t.tree, ':relid (\\d+)', 'g') as m (found)
  ),
  trees (tree) as (
    select ev_action::text from pg_catalog.pg_rewrite where ev_class in (select oid from relations)
    union all select polqual::text from pg_catalog.pg_policy where polrelid in (select oid from relations)
  ),
  functions (oid) as (
    select (m.found[1])::oid from trees
    cross join lateral regexp_matches(trees.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') as m (found)
    union select oid from pg_catalog.pg_proc where proname = any ($1::text[]) and prorettype <> 'pg_catalog.trigger'::regtype
    union select unnest(array[a.aggtransfn::oid, a.aggfinalfn::oid]) from pg_catalog.pg_aggregate a
      join pg_catalog.pg_proc p on p.oid = a.aggfnoid where p.proname = any ($1::text[])
  )
  select json_build_object(
    'types', (
      select json_agg(json_build_object(
        'name', format('%I.%I', n.nspname, t.typname),
        'isOwn', t.oid >= 16384,
        'hasPlainArray', t.typarray <> 0 and t.typdelim = ',' and t.typcategory not in ('A', 'P')
      ) order by q.position)
      from pg_catalog.pg_prepared_statements s
      cross join lateral unnest(s.parameter_types) with ordinality as q (type, position)
      join pg_catalog.pg_type t on t.oid = q.type join pg_catalog.pg_namespace n on n.oid = t.typnamespace
      where s.name = '${name}'
    ),
    'functions', (
      select json_agg(distinct p.proname) from functions join pg_catalog.pg_proc p using (oid) where p.provolatile = 'v'
    ),
    'operators', (
      select json_agg(distinct o.oprname) from pg_catalog.pg_operator o
      join pg_catalog.pg_proc p on p.oid = o.oprcode where p.provolatile = 'v'
    ),
    'hasNumberColumn', exists (
      select from pg_catalog.pg_attribute where attrelid in (select oid from relations) and attname = '${numberColumn}'
    ),
    'version', version()
  ) as facts`
