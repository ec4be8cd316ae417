import { type Kysely, type SelectQueryBuilder, sql } from 'kysely'
import type { Tables } from './advised-tables.ts'

// biome-ignore lint/suspicious/noExplicitAny: queries of any tables and columns
type Query = SelectQueryBuilder<any, any, any>
// biome-ignore lint/suspicious/noExplicitAny: the same
type Untyped = Kysely<any>

/** The values of each column, as far as conditions need them. */
const columns: Record<'person' | 'purchase', Record<string, (random: () => number) => unknown>> = {
  person: {
    id: (random) => Math.ceil(random() * 6_000),
    org_id: (random) => Math.ceil(random() * 200),
    status: (random) => ['active', 'invited', 'banned', 'none'][Math.floor(random() * 4)],
    email: (random) => `user${Math.ceil(random() * 6_000)}@example.com`,
    age: (random) => Math.floor(random() * 100),
    created: (random) => Math.ceil(random() * 6_000),
    score: (random) => (random() < 0.1 ? null : Math.floor(random() * 5_000)),
  },
  purchase: {
    id: (random) => Math.ceil(random() * 12_000),
    person_id: (random) => Math.ceil(random() * 6_000),
    amount: (random) => Math.floor(random() * 10_000),
    kind: (random) => (random() < 0.5 ? 'gift' : 'sale'),
    at: (random) => Math.ceil(random() * 12_000),
  },
}

/** A query of one table or two, with conditions of all kinds, an order and a limit; the same for the same numbers. */
export function randomQuery(db: Kysely<Tables>, random: () => number): Query {
  const untyped = db as Untyped
  const isJoined = random() < 0.4
  let query: Query
  if (isJoined) {
    const base = untyped.selectFrom('person')
    query = (
      random() < 0.5
        ? base.innerJoin('purchase', 'purchase.person_id', 'person.id')
        : base.leftJoin('purchase', 'person.id', 'purchase.person_id')
    ).select(['person.id', 'purchase.amount', 'person.email'])
  } else query = untyped.selectFrom(random() < 0.6 ? 'person' : 'purchase').selectAll()
  const root = query.toOperationNode() as unknown as { from: { froms: { table: { identifier: { name: string } } }[] } }
  const [first] = root.from.froms
  const tables = isJoined ? (['person', 'purchase'] as const) : [first?.table.identifier.name as 'person' | 'purchase']
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
  const pickColumn = () => {
    const table = pick(tables)
    const name = pick(Object.keys(columns[table]))
    return { name: `${table}.${name}`, value: columns[table][name] as (random: () => number) => unknown }
  }
  for (let left = Math.floor(random() * 4); left > 0; left -= 1) {
    const { name, value } = pickColumn()
    const one = value(random)
    const kind = random()
    if (one === null) query = query.where(name, random() < 0.5 ? 'is' : 'is not', null)
    else if (kind < 0.45) query = query.where(name, '=', one)
    else if (kind < 0.65) query = query.where(name, pick(['<', '>', '<=', '>='] as const), one)
    else if (kind < 0.72) query = query.where((eb) => eb.between(name, one, one))
    else if (kind < 0.8) query = query.where(name, 'in', [one, value(random) ?? one])
    else if (kind < 0.84) query = query.where(name, '<>', one)
    else if (kind < 0.88) query = query.where((eb) => eb(name, '=', one).or(name, '=', value(random) ?? one))
    else if (kind < 0.92) query = query.where(sql`abs(${sql.ref('id')})`, '=', 7)
    else
      query = query.where('person.org_id', 'in', untyped.selectFrom('org').select('org.id').where('name', '<', 'org 2'))
    if (kind >= 0.88 && kind < 0.92 && isJoined) return query.clearWhere()
    if (kind >= 0.92 && !tables.includes('person' as never)) return query.clearWhere()
  }
  for (let left = Math.floor(random() * 3); left > 0; left -= 1)
    query = query.orderBy(pickColumn().name, pick(['asc', 'desc'] as const))
  if (random() < 0.5) query = query.limit(pick([1, 10, 50]))
  return query
}

/** The same numbers for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
