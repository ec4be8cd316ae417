import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { Hono } from 'hono'
import { Kysely, SqliteDialect } from 'kysely'
import { describe, expect, it } from 'vitest'
import { snippetsOf } from '../support/snippets.ts'

const snippets = snippetsOf('README.md').filter(({ language }) => language === 'ts')

describe('the README', () => {
  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
    const named = [...readFileSync('README.md', 'utf8').matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name ?? '')
    expect(named.filter((name) => !(name in scripts))).toEqual([])
  })

  it('has a first example that does what it says', async () => {
    const db = new Kysely<{ users: { id: number; name: string; role: string } }>({
      dialect: new SqliteDialect({ database: new Database(':memory:') }),
    })
    await db.schema
      .createTable('users')
      .addColumn('id', 'integer')
      .addColumn('name', 'text')
      .addColumn('role', 'text')
      .execute()
    const rows = Array.from({ length: 45 }, (_, at) => ({
      id: at + 1,
      name: `user ${String(at).padStart(2, '0')}`,
      role: 'user',
    }))
    await db.insertInto('users').values(rows).execute()

    const app = await runExample(snippets[0]?.code ?? '', db)
    const page = await app.request('/users?page=2&per_page=20&sort=-name')
    expect(await page.json()).toMatchObject({
      items: { 0: { name: 'user 24' }, length: 20 },
      pagination: { page: 2, perPage: 20, total: 45, totalPages: 3, hasNext: true, hasPrev: true },
    })
    const refused = await app.request('/users?per_page=101')
    expect(refused.status).toBe(400)
    expect(await refused.text()).toContain('per_page')
    const stats = (await (await app.request('/performance/stats')).json()) as {
      endpoints: { route: string; latency_ms: object }[]
    }
    expect(stats.endpoints).toMatchObject([
      { route: '/users', latency_ms: { p95: expect.any(Number), p99: expect.any(Number) } },
    ])
    expect((await app.request('/health')).status).toBe(200)
    await db.destroy()
  })
})

/** Runs the example with its imports taken from the sources, and returns its application. */
async function runExample(code: string, db: object): Promise<Hono> {
  const modules = {
    hono: { Hono },
    posthaste: await import('posthaste'),
    'posthaste/hono': await import('posthaste/hono'),
  }
  const body = code.replace(
    /^import \{(.*)\} from '(.*)'$/gm,
    (_line, names: string, from: string) => `const {${names}} = modules['${from}']`,
  )
  return new Function('modules', 'db', `${body}\nreturn app`)(modules, db) as Hono
}
