import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { indexCandidates } from '../../src/database/index-candidates.ts'
import type { Tables } from './support/sqlite.ts'

const db = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
})

/** `table(columns)` of each index. */
const candidates = (query: { compile(): { query: Parameters<typeof indexCandidates>[0] } }) =>
  indexCandidates(query.compile().query).map(({ table, columns }) => `${table}(${columns.join(', ')})`)

describe('indexCandidates', () => {
  const orders = db.selectFrom('orders').selectAll()

  it('takes the columns compared by `=`, and then the order, or one range', () => {
    const open = orders.where('status', '=', 'open')
    expect(candidates(open)).toEqual(['orders(status)'])
    expect(candidates(open.where('user_id', 'in', [1, 2]).orderBy('total').orderBy('id'))).toEqual([
      'orders(status, user_id, total, id)',
    ])
    expect(candidates(open.where('total', '>', 1).where('id', '<', 9))).toEqual(['orders(status, total)'])
    expect(candidates(open.where('total', '>', 1).orderBy('total').orderBy('id'))).toEqual([
      'orders(status, total, id)',
    ])
    expect(candidates(open.where('total', '>', 1).orderBy('id'))).toEqual(['orders(status, total)'])
  })

  it('looks into parentheses, and leaves OR, other operators and expressions alone', () => {
    const both = orders.where(({ eb, parens }) => parens(eb('status', '=', 'open').and('user_id', '=', 1)))
    expect(candidates(both)).toEqual(['orders(status, user_id)'])
    expect(candidates(orders.where((eb) => eb('status', '=', 'open').or('user_id', '=', 1)))).toEqual([])
    expect(candidates(orders.where('status', 'like', '%n').where('total', '!=', 1))).toEqual([])
    expect(candidates(orders.where('status', sql`=`, 'open'))).toEqual([])
    expect(candidates(orders.where((eb) => eb(eb.fn('lower', ['status']), '=', 'open')))).toEqual([])
  })

  it('serves the conditions where no index could serve the order', () => {
    expect(candidates(orders.where('status', '=', 'open').orderBy(sql`lower(status)`))).toEqual(['orders(status)'])
    expect(candidates(orders.orderBy(sql`lower(status)`))).toEqual([])
  })

  it('gives each table of a join its own columns, those of the join among them', () => {
    const joined = db
      .selectFrom('orders as o')
      .innerJoin('users as u', 'u.id', 'o.user_id')
      .selectAll('o')
      .where('o.status', '=', 'open')
    expect(candidates(joined)).toEqual(['orders(status, user_id)', 'users(id)'])
    expect(candidates(joined.orderBy('o.total'))).toEqual(['orders(status, user_id, total)', 'users(id)'])
    // Nobody knows here whose these are.
    expect(candidates(joined.where('org_id', '=', 1).orderBy('total'))).toEqual([
      'orders(status, user_id)',
      'users(id)',
    ])
  })

  it('leaves alone what is no table: subqueries, common table expressions, nothing at all', () => {
    const renamed = db.selectFrom('orders').select('user_id as owner')
    expect(candidates(db.selectFrom(renamed.as('o')).selectAll().where('o.owner', '=', 1))).toEqual([])
    expect(
      candidates(
        db
          .with('mine', () => renamed)
          .selectFrom('mine')
          .selectAll()
          .where('owner', '=', 1),
      ),
    ).toEqual([])
    const beside = db.selectFrom('users').innerJoin(renamed.as('o'), 'o.owner', 'users.id').select('name')
    expect(candidates(beside.where('owner', '=', 1))).toEqual(['users(id)'])
    expect(candidates(db.selectNoFrom(sql`1`.as('one')))).toEqual([])
  })

  it('leaves unions and writes alone', () => {
    const open = orders.where('status', '=', 'open')
    expect(candidates(open.unionAll(orders.where('total', '=', 1)))).toEqual([])
    expect(candidates(db.deleteFrom('orders').where('status', '=', 'open'))).toEqual([])
  })
})
