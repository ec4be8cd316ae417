import { expect, it } from 'vitest'
import { findTables } from '../../../src/shared/index-advice/mysql-document.ts'

/** A plan in the form of MySQL 9, shortened to the fields that are read. */
const document = {
  query_plan: {
    operation: 'Sort: o.total',
    access_type: 'sort',
    inputs: [
      {
        access_type: 'join',
        inputs: [
          {
            access_type: 'filter',
            estimated_rows: 10,
            inputs: [{ access_type: 'table', table_name: 'orders', alias: 'o', estimated_rows: 100 }],
          },
          {
            access_type: 'index',
            index_access_type: 'index_lookup',
            table_name: 'users',
            index_name: 'PRIMARY',
            estimated_rows: 1,
          },
          { access_type: 'rows_fetched_before_execution', estimated_rows: 1 },
          {
            access_type: 'materialize',
            table_name: '<subquery2>',
            inputs: [{ access_type: 'sort', inputs: [{ access_type: 'table', table_name: 'refunds' }] }],
          },
          { access_type: 'table', table_name: 'visits', subquery: true },
        ],
      },
    ],
    inputs_from_select_list: [{ access_type: 'table', table_name: 'parts' }],
  },
}

it('finds the tables of a plan in the form of MySQL 9, but not those of its subqueries', () => {
  const { tables, hasSort } = findTables(document)
  expect(hasSort).toBe(true)
  expect(tables).toMatchObject([
    { table_name: 'o', access_type: 'ALL', rows_examined_per_scan: 100 },
    { table_name: 'users', access_type: 'ref', key: 'PRIMARY', rows_examined_per_scan: 1 },
    { table_name: undefined, access_type: 'const', rows_examined_per_scan: 1 },
    { table_name: '<subquery2>' },
  ])
})

it('does not count the sort of a subquery', () => {
  const [join] = document.query_plan.inputs
  expect(findTables({ query_plan: join }).hasSort).toBe(false)
})
