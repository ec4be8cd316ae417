import fc from 'fast-check'
import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import type { SqlDialect } from '../../../src/pagination/types.ts'
import type { Untyped } from './engines.ts'

/** A key of the `items` query: how it is asked for, and the SQL that it stands for. */
interface KeyChoice {
  readonly ask: { readonly key: string } | { readonly expr: RawBuilder<unknown> }
  readonly sql: RawBuilder<unknown>
  readonly nullable: boolean
}

const column = (name: string, nullable: boolean): KeyChoice => ({ ask: { key: name }, sql: sql.ref(name), nullable })
const alias = (name: string, meaning: RawBuilder<unknown>, nullable: boolean): KeyChoice => ({
  ask: { key: name },
  sql: meaning,
  nullable,
})
const computed = (meaning: RawBuilder<unknown>, nullable: boolean): KeyChoice => ({
  ask: { expr: meaning },
  sql: meaning,
  nullable,
})

const choices: readonly KeyChoice[] = [
  column('items.big', false),
  column('items.n', true),
  column('m', false),
  column('items.t', false),
  column('tn', true),
  column('items.at', false),
  column('items.amount', false),
  column('f', false),
  column('items.fn', true),
  column('items.level', false),
  column('items.bytes', false),
  column('teams.name', true),
  column('teams.score', true),
  alias('minus', sql`-m`, false),
  alias('shown', sql`coalesce(teams.score, 0)`, false),
  alias('team', sql.ref('teams.name'), true),
  computed(sql`lower(items.t)`, false),
  computed(sql`items.n + 1`, true),
  computed(sql`items.big + 0`, false),
]

/** One key of an order, for `by` and as the SQL of the same order. */
export interface Key {
  readonly by: object
  readonly order: RawBuilder<unknown>
}

export interface Order {
  readonly keys: readonly Key[]
  /** The direction of the unique key, which is that of the last key. */
  readonly descending: boolean
}

export const orders: fc.Arbitrary<Order> = fc
  .array(
    fc.record({
      choice: fc.constantFrom(...choices),
      descending: fc.boolean(),
      nulls: fc.constantFrom('first' as const, 'last' as const),
    }),
    { maxLength: 3 },
  )
  .map((keys) => ({
    keys: keys.map(({ choice, descending, nulls }) => {
      const never = 'expr' in choice.ask ? { nulls: 'never' } : {}
      const dir = descending ? 'desc' : 'asc'
      return {
        by: { ...choice.ask, dir, ...(choice.nullable ? { nulls } : never) },
        order: orderSql(choice.sql, descending, nulls),
      }
    }),
    descending: keys.at(-1)?.descending ?? false,
  }))

/** Each key by itself. */
export const singleOrders: readonly Order[] = choices.map(({ ask, sql: meaning, nullable }) => ({
  keys: [
    {
      by: { ...ask, ...(nullable ? { nulls: 'first' } : 'expr' in ask ? { nulls: 'never' } : {}) },
      order: orderSql(meaning, false, 'first'),
    },
  ],
  descending: false,
}))

/** The order in words that every engine understands. */
function orderSql(key: RawBuilder<unknown>, descending: boolean, nulls: 'first' | 'last'): RawBuilder<unknown> {
  const placed = sql`case when ${key} is null then ${sql.lit(nulls === 'first' ? 0 : 2)} else 1 end`
  return sql`${placed}, ${key} ${sql.raw(descending ? 'desc' : 'asc')}`
}

/** Rows of {@link itemsQuery}. */
export interface ItemRow {
  readonly id: number
  readonly minus: number
  readonly shown: unknown
  readonly team: unknown
}

// biome-ignore lint/suspicious/noExplicitAny: what Kysely itself calls a query without types
type ItemsQuery = SelectQueryBuilder<any, any, ItemRow>

/** The query that all walks read: a left join, aliases, a condition. */
export function itemsQuery(db: Untyped, dialect: SqlDialect): ItemsQuery {
  return db
    .selectFrom('items')
    .leftJoin('teams', 'teams.id', 'items.team_id')
    .select(['items.id', sql<number>`-m`.as('minus'), sql`coalesce(teams.score, 0)`.as('shown'), 'teams.name as team'])
    .where(sql<boolean>`items.m > 0 or ${sql.lit(dialect)} = ''`)
}

/** The ids of the rows in the order, by one statement of its own. */
export async function idsInOrder(db: Untyped, dialect: SqlDialect, order: Order): Promise<number[]> {
  const unique = sql`items.id ${sql.raw(order.descending ? 'desc' : 'asc')}`
  const terms = sql.join([...order.keys.map((key) => key.order), unique])
  const rows = await itemsQuery(db, dialect).orderBy(terms).execute()
  return rows.map((row) => row.id)
}
