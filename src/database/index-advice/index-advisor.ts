import type { CompiledQuery, RootOperationNode, SelectQueryNode } from 'kysely'
import { adviseIndex } from '../../shared/index-advice/advise-index.ts'
import type { AdvisorDatabase, Row } from '../../shared/index-advice/advisor-database.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { type Execute, readingQuery, type WithOwnConnection, whilePlanning } from '../execute.ts'
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
    const advice = await this.#withOwnConnection((execute) => {
      const advise = () => adviseIndex(query as SelectQueryNode, this.#databaseOver(execute))
      return this.#dialect === 'postgres' ? whilePlanning(execute, advise) : advise()
    })
    if (advice !== undefined) this.#adviceByDdl.set(advice.ddl, { ...advice, shape, before })
  }

  #databaseOver(execute: Execute): AdvisorDatabase {
    return {
      dialect: this.#dialect,
      read: async (query) => {
        const { sql, parameters } = this.#compile(query)
        return (await execute(readingQuery(sql, parameters))).rows as Row[]
      },
      compile: (query) => this.#compile(query).sql,
    }
  }
}
