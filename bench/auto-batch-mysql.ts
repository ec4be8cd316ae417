import { type Connection, createConnection } from 'mysql2/promise'
import { compare, table } from './harness.ts'

const database = `bench_lateral_${process.pid}`
const count = 100

/** A lookup by the expressions that it is given, with room for one more column. */
interface Lookup {
  readonly name: string
  readonly sql: (numbers: string, ...values: readonly string[]) => string
  readonly values: (id: number) => readonly (number | string)[]
  /** What a column of parameters must be to compare as a bound value does. */
  readonly cast: string
}

const byId = { values: (id: number) => [id], cast: 'cast(? as signed)' }

const lookups: readonly Lookup[] = [
  ...[20, 2_000].map((children): Lookup => {
    const columns = 'id, at, amount'
    return {
      ...byId,
      name: `top 3 of a parent with ${children} children`,
      sql: (n, id) =>
        `select ${columns}${n} from child_of_${children} where parent_id = ${id} order by at desc limit 3`,
    }
  }),
  {
    ...byId,
    name: 'a count and a sum of 20 rows',
    sql: (n, id) => `select count(*) as c, sum(amount) as s${n} from child_of_20 where parent_id = ${id}`,
  },
  {
    ...byId,
    name: 'a join with 20 rows',
    sql: (n, id) =>
      `select p.name, c.amount${n} from parent p join child_of_20 c on c.parent_id = p.id where p.id = ${id}`,
  },
  {
    name: 'a row by a unique text',
    sql: (n, code) => `select id, name${n} from parent where code = ${code}`,
    values: (id) => [`code ${id}`],
    cast: 'convert(? using utf8mb4) collate utf8mb4_0900_ai_ci',
  },
  {
    name: 'ten rows in a range',
    sql: (n, low, high) => `select id, amount${n} from child_of_20 where id between ${low} and ${high} limit 10`,
    values: (id) => [id * 10, id * 10 + 9],
    cast: 'cast(? as signed)',
  },
]

/** Is a lateral join on MySQL worth more than a union? */
export default async function run(): Promise<string> {
  const uri = process.env.MYSQL_URL
  if (uri === undefined) return 'Not run: this needs a MySQL from 8.0.19 on at MYSQL_URL.'
  const connection = await createConnection(uri)
  try {
    await fill(connection)
    const parts: string[] = []
    for (const lookup of lookups) {
      const [union, lateral] = [unionOf(lookup), lateralOf(lookup)]
      let first = 0
      const values = () => {
        first = (first + 37) % 80
        return Array.from({ length: count }, (_, index) => lookup.values(1 + ((first + index) % 100))).flat()
      }
      const results = await compare(
        [
          { name: 'union all', run: () => connection.query(union, values()) },
          { name: 'lateral join', run: () => connection.query(lateral, values()) },
          { name: 'union all, prepared', run: () => connection.execute(union, values()) },
          { name: 'lateral join, prepared', run: () => connection.execute(lateral, values()) },
        ],
        { iterations: 2, rounds: 9, warmUp: 2 },
      )
      parts.push(`${count} lookups of ${lookup.name}:\n\n${table(results)}`)
    }
    return parts.join('\n\n')
  } finally {
    await connection.query(`drop database if exists ${database}`)
    await connection.end()
  }
}

function unionOf({ sql, values }: Lookup): string {
  const copy = (_: unknown, index: number) => `(${sql(`, ${index + 1} as n`, ...values(1).map(() => '?'))})`
  return Array.from({ length: count }, copy).join(' union all ')
}

function lateralOf({ sql, values, cast }: Lookup): string {
  const columns = values(1).map((_, index) => `a${index}`)
  const rows = Array.from({ length: count }, (_, index) => `row(${[index + 1, ...columns.map(() => cast)].join(', ')})`)
  const query = sql('', ...columns.map((column) => `p.${column}`))
  // Without a limit the planner would merge the query into the join, and its rows lose their order.
  const fenced = query.includes(' limit ') ? query : `${query} limit 18446744073709551615`
  return `select x.*, p.n from (values ${rows.join(', ')}) as p (n, ${columns.join(', ')}) cross join lateral (${fenced}) as x`
}

async function fill(connection: Connection): Promise<void> {
  await connection.query(`create database ${database} character set utf8mb4 collate utf8mb4_0900_ai_ci`)
  await connection.query(`use ${database}`)
  await connection.query('set cte_max_recursion_depth = 1000000')
  const numbers = (to: number) =>
    `with recursive s (n) as (select 1 union all select n + 1 from s where n < ${to}) select`
  await connection.query('create table parent (id int primary key, name varchar(40), code varchar(20), unique (code))')
  await connection.query(`insert into parent ${numbers(5_000)} n, concat('name ', n), concat('code ', n) from s`)
  for (const children of [20, 2_000]) {
    const parents = children === 20 ? 5_000 : 100
    await connection.query(`create table child_of_${children} (
      id int primary key, parent_id int not null, at datetime not null, amount decimal(10, 2), key (parent_id, at))`)
    await connection.query(`insert into child_of_${children} ${numbers(parents * children)}
      n, n * 7919 % ${parents} + 1, timestamp '2020-01-01 00:00:00' + interval n second, n % 1000 / 7 from s`)
  }
  await connection.query('analyze table parent, child_of_20, child_of_2000')
}
