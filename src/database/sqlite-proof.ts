import { CompiledQuery } from 'kysely'
import type { Execute } from './execute.ts'

/** What SQLite's planner knows of a database: definitions and the statistics of ANALYZE, no rows. */
export interface SqliteSchema {
  readonly definitions: readonly string[]
  readonly statistics: readonly { readonly tbl: string; readonly idx: string | null; readonly stat: string }[]
}

export async function readSqliteSchema(execute: Execute): Promise<SqliteSchema> {
  const definitions = await execute(
    CompiledQuery.raw(
      "select sql from sqlite_master where sql is not null and name not like 'sqlite_%' and type in ('table', 'index', 'view') order by type = 'table' desc",
    ),
  )
  const analyzed = await execute(CompiledQuery.raw("select 1 from sqlite_master where name = 'sqlite_stat1'"))
  const statistics =
    analyzed.rows.length === 0 ? [] : (await execute(CompiledQuery.raw('select tbl, idx, stat from sqlite_stat1'))).rows
  return {
    definitions: (definitions.rows as { readonly sql: string }[]).map(({ sql }) => sql),
    statistics: statistics as unknown as SqliteSchema['statistics'],
  }
}

/**
 * Creates the index in an empty copy of the database in memory, with the same statistics, and asks SQLite's planner there.
 *
 * @returns the plan with the index, and whether it can be made and is used; `undefined` when there is no `node:sqlite`, or
 *   the copy cannot run the query, for want of a function or a virtual table
 */
export async function proveOnSqlite(
  { definitions, statistics }: SqliteSchema,
  sql: string,
  index: { readonly name: string; readonly ddl: string },
): Promise<{ readonly used: boolean; readonly after: string } | undefined> {
  const sqlite = await import('node:sqlite').catch(() => undefined)
  if (sqlite === undefined) return undefined
  const copy = new sqlite.DatabaseSync(':memory:')
  try {
    for (const definition of definitions) copy.exec(definition)
    if (statistics.length > 0) {
      copy.exec('analyze')
      const insert = copy.prepare('insert into sqlite_stat1 (tbl, idx, stat) values (?, ?, ?)')
      for (const { tbl, idx, stat } of statistics) insert.run(tbl, idx, stat)
      copy.exec('analyze sqlite_master')
    }
    // What cannot have it there, as a view, cannot have it in the database itself either.
    if (!succeeds(() => copy.exec(index.ddl))) return { used: false, after: '' }
    const steps = copy.prepare(`explain query plan ${sql}`).all()
    const after = steps.map(({ detail }) => String(detail)).join('\n')
    return { used: after.includes(`INDEX ${index.name}`), after }
  } catch {
    return undefined
  } finally {
    copy.close()
  }
}

function succeeds(run: () => void): boolean {
  try {
    run()
    return true
  } catch {
    return false
  }
}
