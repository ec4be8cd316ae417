import { type Dialect, Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'
import { executeWithCursorPagination } from 'kysely-paginate'

const dialects: Record<'sqlite' | 'postgres' | 'mysql', new (config: never) => Dialect> = {
  sqlite: SqliteDialect,
  postgres: PostgresDialect,
  mysql: MysqlDialect,
}

interface Event {
  id: number
  status: number
  score: number | null
  title: string
}

/** The columns of the order; they are numbers, and all of them are selected. */
type Key = 'status' | 'score'

type Page = (
  key: Key,
  perPage: number,
  after?: string,
  only?: readonly number[],
) => Promise<{ ids: number[]; cursor: string | undefined }>

/** kysely-paginate over the Kysely that it was written for: with later ones its second page throws. */
export function openKyselyPaginate(dialect: keyof typeof dialects, config: object): Page {
  const db = new Kysely<{ events: Event }>({ dialect: new dialects[dialect](config as never) })
  return async (key, perPage, after, only) => {
    const all = db.selectFrom('events').select(['id', 'status', 'score', 'title'])
    const query = only === undefined ? all : all.where('id', 'in', only)
    const fields = [key, 'id'].map((expression) => ({ expression, direction: 'asc' }))
    const parseCursor = (cursor: Record<string, string>) =>
      Object.fromEntries(Object.entries(cursor).map(([name, value]) => [name, Number(value)]))
    // Its types do not know a query of this Kysely.
    const page = await executeWithCursorPagination(query as never, { perPage, after, fields, parseCursor } as never)
    return { ids: (page.rows as Event[]).map((row) => row.id), cursor: page.endCursor }
  }
}
