import { type Expression, type Kysely, type SqlBool, sql } from 'kysely'
import type { Shape, Tables } from './shapes.ts'

/** A table of many types and collations, for MySQL and MariaDB. */
export const typedTable: string = `
  create table typed (
    id bigint unsigned primary key, small tinyint unsigned, truth tinyint(1), dbl double, exact decimal(30, 10) unsigned,
    stamp timestamp(3) null, day datetime(6), year_of year, span time(3), ai varchar(20) collate utf8mb4_unicode_ci,
    bin varchar(20) collate utf8mb4_bin, latin varchar(20) character set latin1, fixed char(6) character set latin1 collate latin1_bin,
    narrow varchar(20) character set ascii, bytes binary(4), blob_of blob, doc json, bits bit(20), kind enum('a', 'B', 'ü', '1'),
    many set('x', 'y', 'z'), place point, long_text longtext, key (ai), key (latin), key (exact), key (stamp)
  ) character set utf8mb4;
  ${Array.from({ length: 24 }, (_, index) => {
    const text = ['city 1', 'CITY 1', 'cíty 1', 'city 1 ', 'é', 'e', 'ss', '7', '07', '', ' ', '%'][
      index % 12
    ] as string
    const id = index === 23 ? '18446744073709551615' : index
    const flag = index % 3 === 0 ? 'null' : index % 2
    return `insert into typed values (${id}, ${index * 10}, ${flag}, ${index} / 7, ${index} * 1.5, '2020-06-0${1 + (index % 9)} 01:02:03.5',
      '2020-06-0${1 + (index % 9)} 01:02:03.000001', ${2000 + index}, '${index - 12}:00:01.5', '${text}', '${text}', '${text}', '${text}', ${index % 4 ? `'a${index}'` : 'null'},
      'b${index % 5}', '${'long '.repeat(index * 20)}', '{"n": ${index % 3}, "big": 12345678901234567890, "f": 1.0}', ${index}, ${index % 5 ? index % 5 : 1},
      '${['x', 'x,y', '', 'z'][index % 4]}', point(${index}, 1), '${'text '.repeat(index * 300)}')`
  }).join(';\n')};
`

const is = (expression: unknown) => expression as Expression<SqlBool>
type TypedTables = Tables & { typed: Record<string, unknown> & { id: unknown } }
const typed = (db: Kysely<Tables>) => (db as unknown as Kysely<TypedTables>).selectFrom('typed')

const textColumns = [
  'ai',
  'bin',
  'latin',
  'fixed',
  'narrow',
  'kind',
  'many',
  'blob_of',
  'bytes',
  'doc',
  'year_of',
  'exact',
]

export const typedShapes: readonly Shape[] = [
  (db, v) => typed(db).selectAll().where('id', '=', v.id),
  (db, v) => typed(db).selectAll().where('id', '=', v.wild),
  (db, v) =>
    typed(db)
      .select(['id', 'ai'])
      .where('id', '=', v.flag ? 18446744073709551615n : BigInt(v.other)),
  (db, v) =>
    typed(db)
      .selectAll()
      .where('small', '=', v.other * 10)
      .orderBy('id'),
  // A text is compared with each type as the type demands.
  ...textColumns.map(
    (column): Shape =>
      (db, v) =>
        typed(db).select(['id', column]).where(column, '=', v.text).orderBy('id'),
  ),
  ...textColumns.map(
    (column): Shape =>
      (db, v) =>
        typed(db).select(['id', column]).where(column, '=', v.wild).orderBy('id').limit(v.limit),
  ),
  ...['ai', 'bin', 'latin', 'fixed', 'kind', 'many', 'span', 'bits'].map(
    (column): Shape =>
      (db, v) =>
        typed(db).select(column).distinct().where('small', '>=', v.other).orderBy(column),
  ),
  (db, v) =>
    typed(db)
      .select(['id', 'doc', 'place', 'long_text'])
      .where('id', '<', v.limit * 3)
      .orderBy('id'),
  (db, v) => typed(db).select(['id', 'stamp', 'day', 'span', 'year_of']).where('stamp', '>', v.date).orderBy('id'),
  (db, v) => typed(db).select('id').where('day', '<=', v.date).orderBy('day', 'desc').orderBy('id').limit(v.limit),
  (db, v) => typed(db).select('id').where('exact', '>', v.decimal).orderBy('exact').orderBy('id'),
  (db, v) =>
    typed(db)
      .select('id')
      .where('bytes', '=', Buffer.from(`b${v.limit}\0\0`))
      .orderBy('id'),
  (db, v) => typed(db).select('id').where('truth', '=', v.flag).orderBy('id', 'desc'),
  (db, v) =>
    typed(db)
      .select('id')
      .where(is(sql`doc->'$.n' = ${v.limit}`))
      .orderBy('id'),
  (db, v) =>
    typed(db)
      .select((e) => [
        e.fn.sum('exact').as('s'),
        e.fn.avg('dbl').as('a'),
        e.fn.max('span').as('m'),
        e.fn.min('kind').as('k'),
      ])
      .where('small', '>', v.other),
  (db, v) =>
    typed(db)
      .select((e) => [
        e.fn.max('day').as('d'),
        e.fn.max('stamp').as('t'),
        e.fn.max('bits').as('b'),
        e.fn.max('doc').as('j'),
      ])
      .where('id', '<', v.other),
  (db, v) =>
    typed(db)
      .select((e) => [
        e.fn.sum('dbl').as('s'),
        e.fn.sum('small').as('n'),
        e.fn.count('id').as('c'),
        e.fn.max('ai').as('a'),
      ])
      .where('truth', '=', v.flag),
  (db, v) =>
    typed(db)
      .select(['bits', sql`group_concat(ai order by id)`.as('all')])
      .where('small', '<', v.other * 10)
      .groupBy('bits')
      .orderBy('bits')
      .limit(3),
  (db, v) =>
    typed(db)
      .select(['id', sql`json_object('id', id, 'exact', exact, 'day', day)`.as('made')])
      .where('id', '=', v.id),
  (db, v) =>
    typed(db)
      .select(['id', sql`exact * 3`.as('triple'), sql`dbl / 3`.as('third'), sql`id + 1`.as('next'), sql`day`.as('at')])
      .where('small', '=', v.other * 10),
  (db, v) =>
    typed(db)
      .select(['id', sql`json_extract(doc, '$.big')`.as('big'), sql`json_extract(doc, '$.f')`.as('f')])
      .where('id', '=', v.other),
  (db, v) =>
    typed(db)
      .select(['id', sql`length(long_text)`.as('n'), sql`date(day)`.as('d'), sql`year(day)`.as('y')])
      .where('id', '=', v.other),
]
