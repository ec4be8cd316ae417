import { DummyDriver, Kysely, MysqlAdapter, MysqlQueryCompiler, sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { queryTables } from '../../../src/shared/sql/query-tables.ts'
import { someNode, walkQuery } from '../../../src/shared/sql/query-tree.ts'

interface DB {
  a: { id: number; b_id: number }
  b: { id: number; c_id: number }
  c: { id: number }
}

const db = new Kysely<DB>({
  dialect: {
    createAdapter: () => new MysqlAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: () => {
      throw new Error('not needed')
    },
    createQueryCompiler: () => new MysqlQueryCompiler(),
  },
})

type Compilable = { compile(): { readonly query: object } }
const summary = (query: Compilable) => {
  const { tables, writes, hasRawSql } = queryTables(query.compile().query)
  return { tables: tables.toSorted().join(), writes: writes.toSorted().join(), hasRawSql }
}

describe('the tables of a query', () => {
  const ids = db.selectFrom('b').select('id')

  it.each<[string, Compilable, tables: string, writes: string]>([
    ['a select', db.selectFrom('a').selectAll(), 'a', ''],
    ['a join with aliases', db.selectFrom('a as b').innerJoin('b as c', 'c.id', 'b.b_id').select('c.id'), 'a,b', ''],
    ['another schema', db.withSchema('x').selectFrom('a').selectAll(), 'a', ''],
    ['an insert from a select', db.insertInto('c').columns(['id']).expression(ids), 'b,c', 'c'],
    ['an update', db.updateTable('a as x').set({ b_id: 1 }).where('b_id', 'in', ids), 'a,b', 'a'],
    ['an update of several', db.updateTable(['a', 'b']).set({ b_id: 1 }), 'a,b', 'a,b'],
    ['a delete from several', db.deleteFrom(['a', 'c']).using('b'), 'a,b,c', 'a,c'],
    [
      'a delete from what an alias names',
      db
        .deleteFrom(['x', 'y'] as never)
        .using('a as x')
        .innerJoin('b as y', 'y.id', 'x.b_id')
        .innerJoin('c', 'c.id', 'y.c_id'),
      'a,b,c',
      'a,b',
    ],
    [
      'a delete from what an alias names, with an expression of its name',
      db
        .with('x', () => ids)
        .deleteFrom('y' as never)
        .using('a as y' as never)
        .innerJoin('x' as never, 'x.id' as never, 'y.id' as never),
      'a,b',
      'a',
    ],
    [
      'a delete from a table of PostgreSQL, with an alias of its name for another',
      db.deleteFrom('a as x').using('b as a').whereRef('x.id', '=', 'a.id'),
      'a,b',
      'a',
    ],
    [
      'an insert with an expression of the name of its table',
      db
        .with('c', () => ids)
        .insertInto('c')
        .columns(['id'])
        .expression((query) => query.selectFrom('c').select('id')),
      'b,c',
      'c',
    ],
    ['a replace', db.replaceInto('c').values({ id: 1 }), 'c', 'c'],
    ['a truncated table', db.schema.dropTable('b'), 'b', 'b'],
    ['a refreshed view', db.schema.withSchema('x').refreshMaterializedView('b'), 'b', 'b'],
    ['a view that is replaced', db.schema.createView('c').orReplace().as(ids), 'b,c', 'c'],
    [
      'a common table expression that writes',
      db
        .with('gone', (inner) => inner.deleteFrom('a').returning('id'))
        .selectFrom('gone')
        .selectAll(),
      'a',
      'a',
    ],
    [
      'an expression with the name of a table that is read beside it',
      db
        .with('a', () => ids)
        .selectFrom('a')
        .innerJoin('c', 'c.id', 'a.id')
        .select('c.id'),
      'b,c',
      '',
    ],
    [
      'an expression with the name of a table, read in another schema',
      db
        .with('a', () => ids)
        .selectFrom('a')
        .unionAll(db.withSchema('x').selectFrom('a').select('id'))
        .select('id'),
      'a,b',
      '',
    ],
  ])('%s', (_name, query, tables, writes) => {
    expect(summary(query)).toEqual({ tables, writes, hasRawSql: false })
  })

  it('may be hidden in raw SQL, which is said', () => {
    expect(summary(db.selectFrom('a').select(sql`(select 1 from b)`.as('one')))).toEqual({
      tables: 'a',
      writes: '',
      hasRawSql: true,
    })
  })

  it('are not looked for in values, of which one may contain itself', () => {
    const value: Record<string, unknown> = { kind: 'TableNode' }
    value.self = value
    expect(
      summary(
        db
          .selectFrom('a')
          .select('id')
          .where('id', '=', value as never),
      ).tables,
    ).toBe('a')
    expect(
      summary(
        db
          .selectFrom('a')
          .select('id')
          .where('id', 'in', [new Date() as never]),
      ).tables,
    ).toBe('a')
  })
})

describe('a walk over a query', () => {
  const query = db.selectFrom('a').select('id').where('b_id', 'in', db.selectFrom('b').select('c_id')).compile().query

  it('visits parents first, and nothing below a node that is left out', () => {
    const kinds: string[] = []
    walkQuery(query, ({ kind }) => {
      kinds.push(kind)
      return kind !== 'WhereNode'
    })
    expect(kinds[0]).toBe('SelectQueryNode')
    expect(kinds).toContain('WhereNode')
    expect(kinds).not.toContain('BinaryOperationNode')
  })

  it('can look for a node outside of sub-queries', () => {
    const namesColumn = (name: string) => (node: { kind: string; column?: unknown }) =>
      node.kind === 'ColumnNode' && (node.column as { name: string }).name === name
    const { where } = query as unknown as { where: object }
    expect(someNode(where, namesColumn('b_id'))).toBe(true)
    expect(someNode(where, namesColumn('c_id'))).toBe(false)
  })
})
