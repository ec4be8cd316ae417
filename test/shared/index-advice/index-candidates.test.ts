import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { indexCandidates } from '../../../src/shared/index-advice/index-candidates.ts'
import { columnOf } from '../../../src/shared/index-advice/query-conditions.ts'

interface Tables {
  users: { id: number; name: string; org_id: number }
  orders: { id: number; user_id: number; status: string | null; total: number }
}

const db = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

/** `table(fixed columns | keys)` of each index, and `by` the columns of a join. */
function candidates(query: { compile(): { query: unknown } }): string[] {
  const { query: node } = query.compile()
  return indexCandidates(node as Parameters<typeof indexCandidates>[0], 'postgres').map(
    ({ table, fixed, keys, joinedBy }) => {
      const head = fixed.map(({ column, isNull }) => (isNull ? `${column} null` : column)).join(', ')
      const tail = keys.map(({ node: key, isDescending }) => `${columnOf(key)?.column}${isDescending ? ' desc' : ''}`)
      const by = joinedBy.length === 0 ? '' : ` by ${joinedBy.map(({ column }) => column).join(', ')}`
      return `${table.name}(${[head, tail.join(', ')].join(' | ').replace(/ \| $/, '')})${by}`
    },
  )
}

describe('indexCandidates', () => {
  const orders = db.selectFrom('orders').selectAll()
  const open = orders.where('status', '=', 'open')

  it('takes the columns compared by `=`, and then the order, or one range', () => {
    expect(candidates(open)).toEqual(['orders(status)'])
    expect(candidates(open.where('user_id', '=', 1))).toEqual(['orders(status, user_id)'])
    expect(candidates(open.orderBy('total', 'desc').orderBy('id'))).toEqual(['orders(status | total desc, id)'])
    expect(candidates(open.where('total', '>', 1).where('id', '<', 9))).toEqual([
      'orders(status)',
      'orders(status | total)',
      'orders(status | id)',
    ])
    expect(candidates(orders.where((eb) => eb(eb.val(5), '<', eb.ref('total'))))).toEqual(['orders( | total)'])
    expect(candidates(orders.where('status', 'is', null))).toEqual(['orders(status null)'])
  })

  it('takes an order alone where only the first rows are wanted', () => {
    expect(candidates(orders.orderBy('total'))).toEqual([])
    expect(candidates(orders.orderBy('total').limit(5))).toEqual(['orders( | total)'])
    expect(candidates(open.orderBy('status').orderBy('total').limit(5))).toEqual(['orders(status | total)'])
    expect(candidates(orders.orderBy('total').orderBy('id').orderBy('total', 'desc').limit(5))).toEqual([
      'orders( | total, id)',
    ])
  })

  it('reads an order that is written out, as pages write theirs', () => {
    const page = open.orderBy(sql`"orders"."total" desc, "id"`).limit(5)
    expect(candidates(page)).toEqual(['orders(status | total desc, id)'])
    expect(candidates(open.orderBy(sql`lower(status)`).limit(5))).toEqual(['orders(status)'])
    expect(candidates(open.orderBy(sql`"total" + 1`).limit(5))).toEqual(['orders(status)'])
  })

  it('takes a list for a range: what comes after it is in no order', () => {
    const listed = orders.where('user_id', 'in', [1, 2])
    expect(candidates(listed.orderBy('user_id').limit(3))).toEqual(['orders( | user_id)', 'orders( | user_id)'])
    expect(candidates(listed.where('status', '=', 'open'))).toEqual(['orders(status)', 'orders(status | user_id)'])
  })

  it('takes no sub-query, no alternative, no expression and no other operator for a condition of an index', () => {
    const users = db.selectFrom('users').select('id').where('org_id', '=', 1)
    expect(candidates(orders.where('user_id', 'in', users))).toEqual([])
    expect(candidates(orders.where('user_id', '=', users))).toEqual([])
    expect(candidates(orders.where((eb) => eb('status', '=', 'open').or('user_id', '=', 1)))).toEqual([])
    expect(candidates(orders.where('status', 'like', '%n').where('total', '!=', 1))).toEqual([])
    expect(candidates(orders.where('status', sql`=`, 'open'))).toEqual([])
    expect(candidates(orders.where('total', '=', sql<number>`id + 1`))).toEqual([])
    expect(candidates(orders.where((eb) => eb(eb.fn('lower', ['status']), '=', 'open')))).toEqual([])
    expect(candidates(orders.where('status', '=', null as never))).toEqual([])
  })

  it('takes no alias for a column', () => {
    const named = db.selectFrom('orders').select(sql<number>`total % 7`.as('total'))
    expect(candidates(named.orderBy('total').limit(3))).toEqual([])
    expect(candidates(db.selectFrom('orders').select('total as t').orderBy('t').limit(3))).toEqual(['orders( | total)'])
  })

  it('tells the columns of a join from those that are compared with values', () => {
    const joined = db
      .selectFrom('orders as o')
      .innerJoin('users as u', 'u.id', 'o.user_id')
      .selectAll('o')
      .where('o.status', '=', 'open')
    expect(candidates(joined)).toEqual([
      'o(status)',
      'o(user_id) by user_id',
      'o(status, user_id) by user_id',
      'u(id) by id',
    ])
    expect(candidates(joined.orderBy('u.name').orderBy('o.id').limit(3))).toEqual(candidates(joined))
    // Nobody knows here whose these are.
    expect(candidates(joined.where('org_id', '=', 1))).toEqual(candidates(joined))
  })

  it('looks up the table that a left join adds, and filters it by the conditions of the join', () => {
    const left = db
      .selectFrom('users as u')
      .leftJoin('orders as o', (join) => join.onRef('o.user_id', '=', 'u.id').on('o.status', '=', 'open'))
      .select('u.id')
    expect(candidates(left)).toEqual(['o(user_id) by user_id'])
  })

  it('leaves alone what is no table: sub-queries, common table expressions, nothing at all', () => {
    const renamed = db.selectFrom('orders').select('user_id as owner')
    expect(candidates(db.selectFrom(renamed.as('o')).selectAll().where('o.owner', '=', 1))).toEqual([])
    const mine = db.with('mine', () => renamed).selectFrom('mine')
    expect(candidates(mine.selectAll().where('owner', '=', 1))).toEqual([])
    expect(candidates(db.selectNoFrom(sql`1`.as('one')))).toEqual([])
    expect(candidates(open.unionAll(orders.where('total', '=', 1)))).toEqual([])
  })
})
