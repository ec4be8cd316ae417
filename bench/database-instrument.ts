import { DatabaseSync } from 'node:sqlite'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  DummyDriver,
  Kysely,
  type KyselyConfig,
  type QueryResult,
  SqliteAdapter,
  SqliteDialect,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import { instrument, nodeSqlite, withQueryScope } from '../src/index.ts'
import { type Candidate, compare, table } from './harness.ts'

/** What does watching every query cost, and what does the statement cache give back? */
export default async function run(): Promise<string> {
  const parts = ['CPU time of one query by primary key, against Kysely as it comes.']
  parts.push(
    `A driver that answers at once, and never looks at the text of the query:\n\n${await costs(cannedDialect)}`,
  )
  parts.push(`A driver that reads the text, as every real one has to:\n\n${await costs(readingDialect)}`)
  parts.push(`SQLite in memory:\n\n${await costs(sqliteDialect)}`)
  // Last, because once a scope was opened every query asks for its own.
  parts.push(`In a query scope, a driver that answers at once:\n\n${await costsInScope(cannedDialect)}`)
  parts.push(`In a query scope, SQLite in memory:\n\n${await costsInScope(sqliteDialect)}`)
  return parts.join('\n\n')
}

interface Database {
  users: { id: number; name: string; email: string }
}

async function costs(dialect: () => Dialect): Promise<string> {
  return await compared([
    candidate('Kysely', { dialect: dialect() }),
    candidate('Kysely with `log`', { dialect: dialect(), log: () => {} }),
    candidate('instrument, no statement cache', instrument({ dialect: dialect() }, { statementCache: false })),
    candidate('instrument', instrument({ dialect: dialect() })),
  ])
}

async function costsInScope(dialect: () => Dialect): Promise<string> {
  return await compared([
    candidate('Kysely', { dialect: dialect() }),
    candidate('instrument, no statement cache', instrument({ dialect: dialect() }, { statementCache: false }), true),
    candidate('instrument', instrument({ dialect: dialect() }), true),
  ])
}

async function compared(candidates: readonly Candidate[]): Promise<string> {
  return table(await compare(candidates, { iterations: 1_000, rounds: 60, warmUp: 40, measure: 'cpu' }))
}

function candidate(name: string, config: KyselyConfig, scoped = false): Candidate {
  const db = new Kysely<Database>(config)
  let id = 0
  const query = () => {
    id = (id % 100) + 1
    return db.selectFrom('users').select(['id', 'name']).where('id', '=', id).executeTakeFirst()
  }
  return { name, run: scoped ? () => withQueryScope('bench', query) : query }
}

function sqliteDialect(): Dialect {
  const database = new DatabaseSync(':memory:')
  database.exec('create table users (id integer primary key, name text, email text)')
  const insert = database.prepare('insert into users (name, email) values (?, ?)')
  for (let id = 1; id <= 100; id += 1) insert.run(`user ${id}`, `user${id}@example.com`)
  return new SqliteDialect({ database: nodeSqlite(database) })
}

const canned: QueryResult<unknown> = { rows: [{ id: 1, name: 'user 1' }] }

class CannedDriver extends DummyDriver {
  readonly #connection: DatabaseConnection

  constructor(look: (sql: string) => void) {
    super()
    this.#connection = {
      executeQuery: async <Row>(query: CompiledQuery) => {
        look(query.sql)
        return canned as QueryResult<Row>
      },
      async *streamQuery() {},
    }
  }

  override async acquireConnection() {
    return this.#connection
  }
}

const cannedDialect = () => dialectWith(() => {})
const readingDialect = () =>
  dialectWith((sql) => {
    if (sql.charCodeAt(0) === 0) throw new Error('The query is empty')
  })

function dialectWith(look: (sql: string) => void): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new CannedDriver(look),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
}
