import { CompiledQuery } from 'kysely'
import type { SqlDialect } from './dialect.ts'
import type { Execute } from './execute.ts'
import { type IndexCandidate, indexCandidates } from './index-candidates.ts'
import type { Borrow } from './instruments.ts'
import type { ShapeStatistics } from './query-statistics.ts'
import { proveOnSqlite, readSqliteSchema } from './sqlite-proof.ts'
import type { IndexAdvice } from './types.ts'

/** Advice that is kept. */
const maxAdvice = 100

/** Collects indexes that would help slow queries. */
export class IndexAdvisor {
  readonly #dialect: SqlDialect
  readonly #borrow: Borrow
  readonly #advice = new Map<string, IndexAdvice>()

  constructor(dialect: SqlDialect, borrow: Borrow) {
    this.#dialect = dialect
    this.#borrow = borrow
  }

  list(): IndexAdvice[] {
    return [...this.#advice.values()]
  }

  /** Looks for indexes that would spare the plan its scans and sorts. */
  async consider(query: CompiledQuery, shape: ShapeStatistics, plan: string): Promise<void> {
    for (const candidate of indexCandidates(query.query)) {
      if (this.#advice.size >= maxAdvice || !isWasteful(this.#dialect, plan, candidate)) continue
      const advice = await this.#judge(query, shape, plan, candidate)
      if (advice !== undefined) this.#advice.set(advice.ddl, advice)
    }
  }

  async #judge(
    { sql }: CompiledQuery,
    { text }: ShapeStatistics,
    before: string,
    candidate: IndexCandidate,
  ): Promise<IndexAdvice | undefined> {
    const advice = { ...describe(candidate, this.#dialect), shape: text, before }
    if (this.#dialect === 'sqlite') {
      const schema = await this.#borrow(readSqliteSchema)
      const proof = await proveOnSqlite(schema, sql, advice)
      if (proof === undefined) return { ...advice, proven: false }
      return proof.used ? { ...advice, proven: true, after: proof.after } : undefined
    }
    const indexes = await this.#borrow((execute) => existingIndexes(this.#dialect, execute, candidate.table))
    const exists = indexes.some((columns) =>
      candidate.columns.every((column, position) => columns[position] === column),
    )
    return exists ? undefined : { ...advice, proven: false }
  }
}

/** Whether the plan reads the whole table, or sorts what an index could give in order. */
function isWasteful(dialect: SqlDialect, plan: string, { table, alias }: IndexCandidate): boolean {
  const lines = plan.split('\n')
  const about = (pattern: RegExp) =>
    lines.some((line) => [table, alias].includes((pattern.exec(line)?.[1] ?? '').replace(/^["`]|["`]$/g, '')))
  switch (dialect) {
    case 'postgres':
      return about(/Seq Scan on \S+ (\S+)/) || about(/Seq Scan on (\S+)/) || /^\s*(?:->\s+)?Sort\b/m.test(plan)
    case 'mysql':
      return about(/^(\S+): ALL/) || /filesort/.test(plan)
    default:
      return about(/^SCAN (\S+)/) || /TEMP B-TREE FOR ORDER BY/.test(plan)
  }
}

function describe({ table, columns }: IndexCandidate, dialect: SqlDialect) {
  const name = `${table}_${columns.join('_')}_index`
  const quote = (identifier: string) => (dialect === 'mysql' ? `\`${identifier}\`` : `"${identifier}"`)
  return {
    table,
    columns,
    name,
    kysely: `db.schema.createIndex('${name}').on('${table}').columns([${columns.map((column) => `'${column}'`).join(', ')}]).execute()`,
    ddl: `create index ${quote(name)} on ${quote(table)} (${columns.map(quote).join(', ')})`,
  }
}

async function existingIndexes(dialect: SqlDialect, execute: Execute, table: string): Promise<string[][]> {
  const sql = dialect === 'postgres' ? postgresIndexes : mysqlIndexes
  const { rows } = await execute(CompiledQuery.raw(sql, [table]))
  return (rows as { readonly names: string }[]).map(({ names }) => names.split(','))
}

const postgresIndexes = `
  select array_to_string(array(
    select a.attname from unnest(i.indkey) with ordinality as k (attnum, position)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum order by position
  ), ',') as names
  from pg_index i join pg_class c on c.oid = i.indrelid where c.relname = $1`

const mysqlIndexes = `
  select group_concat(column_name order by seq_in_index) as names from information_schema.statistics
  where table_schema = database() and table_name = ? group by index_name`
