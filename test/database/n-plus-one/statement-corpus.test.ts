import {
  type Dialect,
  DummyDriver,
  Kysely,
  MysqlAdapter,
  MysqlIntrospector,
  MysqlQueryCompiler,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import { instrument, type NPlusOne, queryReport, withQueryScope } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { type CorpusEntry, type CorpusTables, corpus } from './statement-corpus.ts'

const parts = {
  postgres: [PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler],
  mysql: [MysqlAdapter, MysqlIntrospector, MysqlQueryCompiler],
  sqlite: [SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler],
} as const

/** A database that answers every statement with no row. */
function open(name: CorpusEntry['dialect'], onNPlusOne: (finding: NPlusOne) => void) {
  const [Adapter, Introspector, Compiler] = parts[name]
  const dialect: Dialect = {
    createAdapter: () => new Adapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new Introspector(db),
    createQueryCompiler: () => new Compiler(),
  }
  return new Kysely<CorpusTables>(instrument({ dialect }, { onNPlusOne }))
}

describe('the statements of real applications', () => {
  it('are enough to say something', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(60)
    expect(new Set(corpus.map(({ name }) => name)).size).toBe(corpus.length)
  })

  it.each(corpus)('$name: $label', async ({ dialect, label, statement }) => {
    const findings: NPlusOne[] = []
    const db = open(dialect, (finding) => findings.push(finding))
    await withQueryScope('GET /', async () => {
      for (let run = 1; run <= 6; run += 1) {
        const built = statement(db, run)
        await ('compile' in built
          ? (built as { execute(db?: Kysely<CorpusTables>): Promise<unknown> }).execute(db)
          : built.execute())
      }
    })
    expect(findings.map(({ kind }) => kind)).toEqual(label === 'none' ? [] : [label])
    // All runs are one shape, and no value is in it.
    const shapes = queryReport(db).queries.map(({ shape }) => shape)
    if (label !== 'none') expect(shapes).toHaveLength(1)
    expect(shapes.join()).not.toMatch(/[a-z]\d+@|O'?Neil|request|trace|paid|theme/)
  })
})
