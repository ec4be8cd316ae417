import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import type { Untyped } from './engines.ts'

// biome-ignore lint/suspicious/noExplicitAny: what Kysely itself calls a query without types
export type Query = SelectQueryBuilder<any, any, any>

/** What a query reads from: rows of `h`, told apart by `id`, and columns of `x`, which may be NULL. */
export interface Source {
  readonly id: string
  /** The dialects, or MariaDB, that do not have it. */
  readonly lacks?: readonly string[]
  from(db: Untyped): Query
}

const lastRows = (db: Untyped) => db.selectFrom('shape_rows').selectAll().where('id', '>', 9)

export const sources: Readonly<Record<string, Source>> = {
  self: { id: 'h.id', from: (db) => db.selectFrom('shape_rows as h').innerJoin('shape_rows as x', 'x.id', 'h.id') },
  inner: { id: 'h.id', from: (db) => db.selectFrom('shape_rows as x').innerJoin('shape_ids as h', 'h.id', 'x.id') },
  left: { id: 'h.id', from: (db) => db.selectFrom('shape_rows as h').leftJoin('shape_rows as x', 'x.id', 'h.w') },
  right: {
    id: 'h.id',
    from: (db) =>
      db
        .selectFrom(db.selectFrom('shape_rows').selectAll().where('id', '<', 6).as('x'))
        .rightJoin('shape_rows as h', 'x.w', 'h.id'),
  },
  full: {
    id: 'coalesce(h.id, x.id)',
    lacks: ['mysql'],
    from: (db) =>
      db
        .selectFrom(db.selectFrom('shape_ids').selectAll().where('id', '<', 18).as('h'))
        .fullJoin(lastRows(db).as('x'), 'x.id', 'h.id'),
  },
  lateral: {
    id: 'h.id',
    lacks: ['sqlite', 'MariaDB'],
    from: (db) =>
      db.selectFrom('shape_ids as h').leftJoinLateral(
        (eb) => {
          const later = eb.selectFrom('shape_rows as s').selectAll().whereRef('s.id', '>', 'h.w')
          return later.orderBy('s.id').limit(1).as('x')
        },
        (join) => join.onTrue(),
      ),
  },
  view: { id: 'h.id', from: (db) => db.selectFrom('shape_ids as h').leftJoin('shape_view as x', 'x.id', 'h.w') },
  unionView: { id: 'h.id', from: (db) => db.selectFrom('shape_ids as h').leftJoin('shape_union as x', 'x.id', 'h.w') },
  derived: { id: 'h.id', from: (db) => db.selectFrom('shape_ids as h').leftJoin(lastRows(db).as('x'), 'x.id', 'h.id') },
  distinct: {
    id: 'h.id',
    from: (db) => db.selectFrom('shape_ids as h').leftJoin(lastRows(db).distinct().as('x'), 'x.id', 'h.id'),
  },
}

/** A query that selects `id` and the keys as `k0`, `k1`, …. */
export function flatQuery(db: Untyped, { from, id }: Source, keys: readonly string[]): Query {
  return from(db).select([sql.raw(id).as('id'), ...keys.map((key, at) => keyOf(key).as(`k${at}`))])
}

/** A query that selects `id` and the keys under their own names, which other tables of it may have too. */
export function plainQuery(db: Untyped, { from, id }: Source, keys: readonly string[]): Query {
  return from(db).select([...new Set([id, ...keys])])
}

/** A column as the builder names it, or an expression as raw SQL. */
export function keyOf(key: string): RawBuilder<unknown> {
  return /^x\.\w$/.test(key) ? sql.ref(key) : sql.raw(`(${key})`)
}

/** The query that is made of a flat one. */
type Shape = (db: Untyped, query: Query, keys: readonly string[], source: Source) => Query

const namesOf = (keys: readonly string[]) => ['id', ...keys.map((_key, at) => `k${at}`)]
const derived = (db: Untyped, query: Query, keys: readonly string[]): Query =>
  db.selectFrom(query.as('d')).select(namesOf(keys))

/** The rows with other ids. Their keys are in other columns, or what `keyAt` says. */
const others = (
  db: Untyped,
  query: Query,
  keys: readonly string[],
  keyAt = (at: number): unknown => sql.ref(`k${at}`),
) =>
  db
    .selectFrom(query.as('d'))
    .select([
      sql`id + 100`.as('id'),
      ...keys.map((_key, at) => (keyAt(at) as RawBuilder<unknown>).as(`k${at}`)),
    ]) as Query

const swapped: Shape = (db, query, keys) =>
  query.unionAll(others(db, query, keys, (at) => sql.ref(`k${keys.length - 1 - at}`)))

export const shapes: Readonly<Record<string, Shape>> = {
  flat: (_db, query) => query,
  derived,
  derivedTwice: (db, query, keys) => derived(db, db.selectFrom(query.as('d')).selectAll(), keys),
  derivedAll: (db, query) => db.selectFrom(query.as('d')).selectAll(),
  // A short name, such as a page's own statement might take.
  cte: (db, query, keys) =>
    db
      .with('phs0', () => query)
      .selectFrom('phs0')
      .select(namesOf(keys)),
  // Not on SQLite, where it would read itself.
  cteNamedAsItsTable: (db, query, keys) =>
    db
      .with('shape_rows', () => query)
      .selectFrom('shape_rows')
      .select(namesOf(keys)),
  ctesNamedAsTables: (db, query, keys) =>
    db
      .with('c', () => query)
      .with('shape_rows', (with_) => with_.selectFrom('c').selectAll())
      .with('shape_ids', (with_) => with_.selectFrom('shape_rows').select(namesOf(keys)))
      .selectFrom('shape_ids')
      .selectAll(),
  renamedCte: (db, query, keys) => {
    const names = namesOf(keys)
    const renamed = db.with(`c(${names.map((name) => `${name}_of_c`).join(', ')})`, () => query) as Untyped
    return renamed.selectFrom('c').select(names.map((name) => `${name}_of_c as ${name}`))
  },
  distinct: (_db, query) => query.distinct(),
  grouped: (_db, query, keys, { id }) => query.groupBy([sql.raw(id), ...keys.map((key) => sql.raw(key))]),
  groupedDerived: (db, query, keys) => derived(db, query, keys).groupBy(namesOf(keys)),
  having: (db, query, keys) =>
    db
      .selectFrom(query.as('d'))
      .groupBy('id')
      .having(sql<boolean>`count(*) > 0`)
      .select(['id', ...keys.map((_key, at) => sql`max(${sql.ref(`k${at}`)})`.as(`k${at}`))]),
  unionAll: (db, query, keys) => {
    const half = (rest: number) => derived(db, query, keys).where(sql<boolean>`id % 2 = ${sql.lit(rest)}`)
    return half(0).unionAll(half(1))
  },
  union: (_db, query) => query.union(query),
  unionWithNulls: (db, query, keys) => query.unionAll(others(db, query, keys, () => sql.lit(null))),
  unionOfExpressions: (db, query, keys, source) => {
    const computed = keys.map((key) => `coalesce(${key}, null)`)
    return query.unionAll(others(db, flatQuery(db, source, computed), keys))
  },
  unionSwapped: swapped,
  unionSwappedAfterNone: (db, query, keys, source) =>
    derived(db, query, keys)
      .where('id', '<', 0)
      .unionAll(swapped(db, query, keys, source)),
  derivedUnion: (db, query, keys) => derived(db, query.unionAll(others(db, query, keys)), keys),
  derivedSwapped: (db, query, keys, source) => derived(db, swapped(db, query, keys, source), keys),
  cteSwapped: (db, query, keys, source) =>
    db
      .with('c', () => swapped(db, query, keys, source))
      .selectFrom('c')
      .select(namesOf(keys))
      .where('id', '>', 3),
  intersect: (_db, query) => query.intersect(query),
  except: (db, query, keys) => query.except(derived(db, query, keys).where('id', '>', 15)),
}
