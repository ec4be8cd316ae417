import type { CompiledQuery, RootOperationNode, SelectQueryNode } from 'kysely'
import { adviseIndex } from '../../shared/index-advice/advise-index.ts'
import type { AdvisorDatabase } from '../../shared/index-advice/advisor-database.ts'
import type { SqlDialect } from '../../shared/sql/dialect.ts'
import { readingQuery, type WithOwnConnection, whilePlanning } from '../execute.ts'
import type { ShapeStatistics } from '../statistics/shape-statistics.ts'
import type { IndexAdvice } from '../types.ts'

const maxAdvice = 100

/** Collects indexes that would speed up slow queries. */
export class IndexAdvisor {
  readonly #dialect: SqlDialect
  readonly #withOwnConnection: WithOwnConnection
  readonly #compile: (query: RootOperationNode) => CompiledQuery
  readonly #adviceByDdl = new Map<string, IndexAdvice>()

  /** @param compile - compiles queries that nobody observes */
  constructor(
    dialect: SqlDialect,
    withOwnConnection: WithOwnConnection,
    compile: (query: RootOperationNode) => CompiledQuery,
  ) {
    this.#dialect = dialect
    this.#withOwnConnection = withOwnConnection
    this.#compile = compile
  }

  list(): IndexAdvice[] {
    return [...this.#adviceByDdl.values()]
  }

  async addFor({ query }: CompiledQuery, { text: shape }: ShapeStatistics, before: string): Promise<void> {
    if (this.#adviceByDdl.size >= maxAdvice) return
    const advice = await this.#withDatabase((database) => adviseIndex(query as SelectQueryNode, database))
    if (advice !== undefined) this.#adviceByDdl.set(advice.ddl, { ...advice, shape, before })
  }

  #withDatabase<Result>(use: (database: AdvisorDatabase) => Promise<Result>): Promise<Result> {
    return this.#withOwnConnection(async (execute) => {
      const run = async (query: CompiledQuery) => (await execute(query)).rows as Record<string, unknown>[]
      const database: AdvisorDatabase = {
        dialect: this.#dialect,
        read: (query) => {
          const { sql, parameters } = this.#compile(query)
          return run(readingQuery(sql, parameters))
        },
        compile: (query) => this.#compile(query).sql,
      }
      return this.#dialect === 'postgres' ? whilePlanning(execute, () => use(database)) : use(database)
    })
  }
}
