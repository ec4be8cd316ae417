import { CompiledQuery, DefaultQueryCompiler, Kysely, sql } from 'kysely'
import { explainPage, instrument, queryReport } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { services } from '../../support/services.ts'
import {
  type Application,
  openBenchApplication,
  openCitiesApplication,
  openCrmApplication,
} from './support/applications.ts'

const applications = {
  'examples/cities': openCitiesApplication,
  'examples/crm': openCrmApplication,
  'bench/': openBenchApplication,
}
const engines = [
  { engine: 'SQLite', url: undefined },
  ...(services.postgres === undefined ? [] : [{ engine: 'PostgreSQL', url: services.postgres }]),
]
const cases = engines.flatMap(({ engine, url }) =>
  Object.entries(applications).map(([name, open]) => ({ name: `${name} on ${engine}`, url, open })),
)

describe.each(cases)('index advice for the queries of $name', ({ url, open }) => {
  let application: Application
  let plain: Kysely<never>

  // `instrument` takes the method when an application is opened.
  const compiled = vi.spyOn(DefaultQueryCompiler.prototype, 'compileQuery')

  beforeAll(async () => {
    application = await open(url)
    plain = new Kysely({ dialect: application.dialect() })
  }, 120_000)
  afterAll(() => application?.close(), 60_000)

  /** What is compiled while the function runs. */
  async function compiledBy(run: () => Promise<unknown>): Promise<CompiledQuery[]> {
    compiled.mockClear()
    await run()
    return compiled.mock.results.map(({ value }) => value as CompiledQuery)
  }

  /** The SELECTs that are built while the application runs, each shape once. */
  async function queries(): Promise<CompiledQuery[]> {
    const built = await compiledBy(() => application.run())
    const selects = built.filter(({ query }) => query.kind === 'SelectQueryNode' && query.from && !query.explain)
    return [...new Map(selects.map((query) => [query.sql, query])).values()]
  }

  async function adviceFor(query: CompiledQuery): Promise<string[]> {
    const config = { dialect: application.dialect() }
    const db = new Kysely<never>(instrument(config, { slow: '0ms', explain: 'plan', onWarn: () => {} }))
    await db.executeQuery(query)
    await vi.waitFor(() => expect(queryReport(db).slow[0]?.plan).toBeDefined(), { timeout: 10_000, interval: 1 })
    return queryReport(db).advice.map(({ ddl }) => ddl)
  }

  async function planOf({ sql: text, parameters }: CompiledQuery): Promise<{ plan: string; cost: number }> {
    const verb = url === undefined ? 'explain query plan' : 'explain (format json)'
    const { rows } = await plain.executeQuery(CompiledQuery.raw(`${verb} ${text}`, [...parameters]))
    const [first] = rows as { 'QUERY PLAN'?: [{ Plan: { 'Total Cost': number } }] }[]
    return { plan: JSON.stringify(rows), cost: first?.['QUERY PLAN']?.[0].Plan['Total Cost'] ?? 0 }
  }

  /** The planner takes the index, and on PostgreSQL the cost falls at least to this share. */
  async function expectTrue(ddl: string, query: CompiledQuery, share: number): Promise<void> {
    const before = await planOf(query)
    await sql.raw(ddl).execute(plain)
    const name = /^create index "(\w+)"/.exec(ddl)?.[1] as string
    try {
      await sql`analyze`.execute(plain)
      const after = await planOf(query)
      const found = `${query.sql}\n${ddl}\n${before.plan}\n${after.plan}`
      expect(after.plan, found).toContain(name)
      expect(after.cost, found).toBeLessThanOrEqual(before.cost * share)
    } finally {
      await sql`drop index ${sql.ref(name)}`.execute(plain)
    }
  }

  it('is true in `queryReport`', async () => {
    const all = await queries()
    expect(all.length).toBeGreaterThan(5)
    for (const query of all) for (const ddl of await adviceFor(query)) await expectTrue(ddl, query, 0.5)
  }, 240_000)

  it('is true in `explainPage`', async () => {
    for (const [build, options] of application.lists) {
      let index: string | undefined
      const built = await compiledBy(async () => {
        index = (await explainPage(build(plain as never), options as never)).index
      })
      // The page's own statement is the one that was explained.
      const explained = built.map(({ sql }) => /^explain (?:query plan|\(.*?\)) (.*)$/s.exec(sql)?.[1])
      const page = explained.find((text) => text?.includes('order by'))
      if (index === undefined) continue
      const { parameters } = built[explained.indexOf(page)] as CompiledQuery
      // The hidden columns cost the same with the index, and more than a small table.
      await expectTrue(index, CompiledQuery.raw(page as string, [...parameters]), 1)
    }
  }, 240_000)
})
