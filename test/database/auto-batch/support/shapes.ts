import { type Expression, type Kysely, type SqlBool, sql } from 'kysely'

/** Tables of the differential test; `any` values, because each engine reads them in its own way. */
export interface Tables {
  city: Record<CityColumn, unknown>
  item: { id: number; city_id: number | null; price: unknown; qty: unknown; label: unknown }
  city_view: { id: number; name: unknown; items: unknown }
}
type CityColumn =
  | 'id'
  | 'name'
  | 'region'
  | 'pop'
  | 'area'
  | 'founded'
  | 'seen'
  | 'code'
  | 'flag'
  | 'ratio'
  | 'note'
  | 'tags'
  | 'meta'
  | 'kind'
  | 'raw'
  | 'uid'
  | 'dur'

/** Random values that a shape picks from. */
export interface Values {
  readonly id: number | null
  readonly other: number
  readonly text: string | null
  readonly limit: number
  readonly date: Date
  readonly flag: boolean
  readonly decimal: string
  readonly list: readonly number[]
  readonly big: bigint
  readonly wild: unknown
}

type Db = Kysely<Tables>
export type Shape = (db: Db, values: Values) => { execute(): Promise<unknown[]> }

const is = (expression: unknown) => expression as Expression<SqlBool>
const city = (db: Db) => db.selectFrom('city')

export const commonShapes: readonly Shape[] = [
  (db, v) => city(db).selectAll().where('id', '=', v.id),
  (db, v) => city(db).select(['id', 'name', 'note']).where('id', '=', v.other),
  (db, v) => city(db).select('name').where('name', '=', v.text),
  (db, v) =>
    city(db)
      .select(['id', 'pop'])
      .where('region', '=', v.other % 4)
      .orderBy('pop', 'desc')
      .orderBy('id')
      .limit(v.limit),
  (db, v) =>
    city(db)
      .select(['id'])
      .where('region', '=', v.other % 4)
      .orderBy('id', 'desc')
      .limit(2)
      .offset(1),
  (db, v) =>
    city(db)
      .select(['id', 'region'])
      .where('region', '>=', v.other % 4)
      .orderBy('region')
      .orderBy('name'),
  (db, v) =>
    city(db)
      .select((e) => e.fn.countAll().as('n'))
      .where('region', '=', v.other % 5),
  (db, v) =>
    city(db)
      .select((e) => [e.fn.max('pop').as('top'), e.fn.min('name').as('low')])
      .where('id', '>', v.other),
  (db, v) =>
    city(db)
      .select((e) => ['region', e.fn.countAll().as('n')])
      .where('id', '<', v.other)
      .groupBy('region')
      .orderBy('region'),
  (db, v) =>
    city(db)
      .select((e) => ['region', e.fn.countAll().as('n')])
      .groupBy('region')
      .having((e) => e.fn.countAll(), '>', v.limit)
      .orderBy('region'),
  (db, v) =>
    db
      .selectFrom('city as c')
      .innerJoin('item as i', 'i.city_id', 'c.id')
      .select(['c.name', 'i.label'])
      .where('c.id', '=', v.other)
      .orderBy('i.id'),
  (db, v) =>
    db
      .selectFrom('city as c')
      .leftJoin('item as i', 'i.city_id', 'c.id')
      .select(['c.id as cid', 'i.id as iid', 'i.price'])
      .where('c.region', '=', v.other % 4)
      .orderBy('c.id')
      .orderBy('i.id'),
  (db, v) =>
    city(db)
      .selectAll()
      .where('id', 'in', v.list.length === 0 ? [0] : [...v.list])
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select('id')
      .where('id', 'in', (e: Db) => e.selectFrom('item').select('city_id').where('qty', '>', v.other)) as never,
  (db, v) =>
    city(db)
      .select('id')
      .where((e) =>
        e.exists(
          e.selectFrom('item').select('item.id').whereRef('item.city_id', '=', 'city.id').where('label', '=', v.text),
        ),
      )
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select((e) => [
        'city.id',
        e
          .selectFrom('item')
          .whereRef('item.city_id', '=', 'city.id')
          .select((f) => f.fn.countAll().as('n'))
          .as('items'),
      ])
      .where('city.id', '=', v.other),
  (db, v) =>
    db
      .with('w', (d) =>
        d
          .selectFrom('city')
          .select(['id', 'name'])
          .where('region', '=', v.other % 4),
      )
      .selectFrom('w')
      .select(['id', 'name'])
      .orderBy('id'),
  (db, v) => city(db).select('region').distinct().where('id', '<', v.other).orderBy('region'),
  (db, v) => city(db).select(['id', 'founded', 'seen']).where('id', '=', v.other),
  (db, v) => city(db).select(['id', 'area', 'ratio', 'pop', 'flag', 'code']).where('id', '=', v.id),
  (db, v) => city(db).select('id').where('area', '>', v.decimal).orderBy('id').limit(5),
  (db, v) => city(db).select('id').where('note', 'is', null).where('id', '<', v.other).orderBy('id'),
  (db, v) =>
    city(db)
      .select('id')
      .where((e) => e.or([e('name', '=', v.text), e('id', '=', v.other)]))
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select('id')
      .where('name', 'like', v.text === null ? '%' : `%${v.text}%`)
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select('id')
      .where('id', '>', v.other - 3)
      .where('id', '<', v.other + 3)
      .orderBy('id', 'desc'),
  (db, v) => db.selectFrom('city_view').selectAll().where('id', '=', v.id),
  (db) => city(db).select(['id']).orderBy('id').limit(3),
  (db, v) => city(db).select('id').where('id', '=', v.wild).orderBy('id'),
  (db, v) =>
    db
      .selectFrom((d) => d.selectFrom('city').select(['id', 'region']).where('id', '<', v.other).as('s'))
      .select(['id', 'region'])
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select((e) => ['id', e.case().when('id', '>', 5).then(e.ref('name')).else(e.ref('note')).end().as('what')])
      .where('region', '=', v.other % 4)
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select((e) => ['id', e.fn.coalesce('note', 'name').as('text')])
      .where('id', '=', v.id),
  (db, v) =>
    city(db)
      .select(
        (e) =>
          [
            'id',
            e.fn
              .agg('row_number', [])
              .over((o) => o.orderBy('pop').orderBy('id'))
              .as('place'),
          ] as never,
      )
      .where('region', '=', v.other % 4)
      .orderBy('id') as never,
]

export const postgresShapes: readonly Shape[] = [
  (db, v) => city(db).selectAll().where('flag', '=', v.flag).orderBy('id').limit(3),
  (db, v) =>
    city(db)
      .select(['id', 'uid'])
      .where(is(sql`uid::text > ${v.text}`))
      .orderBy('id')
      .limit(4),
  (db, v) => city(db).select(['id', 'tags', 'meta', 'dur', 'raw', 'kind']).where('id', '=', v.id),
  (db, v) =>
    city(db)
      .select('id')
      .where(is(sql`id = any(${v.list})`))
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select('id')
      .where(is(sql`tags && ${v.text === null ? [] : [v.text, 'x']}`))
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select('id')
      .where(is(sql`meta @> ${JSON.stringify({ n: v.other % 3 })}`))
      .orderBy('id'),
  (db, v) => city(db).select('id').where('seen', '>', v.date).orderBy('seen').orderBy('id').limit(v.limit),
  (db, v) => city(db).select('id').where('founded', '<=', v.date).orderBy('id'),
  (db, v) => city(db).select('id').where('pop', '>', v.big).orderBy('id'),
  (db, v) =>
    city(db)
      .select('id')
      .where(is(sql`raw = ${Buffer.from(String(v.other))}`)),
  (db, v) =>
    city(db)
      .select('id')
      .where('kind', '=', v.flag ? 'big' : 'small')
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select((e) => ['id', sql`${v.other}::int + id`.as('sum'), e.val(v.text).as('same')])
      .where('id', '=', v.other),
  (db, v) =>
    city(db)
      .select((e) => [e.val(v.text).as('t'), sql`null`.as('nothing'), sql.lit('x').as('lit')])
      .where('id', '=', 1),
  (db, v) =>
    city(db)
      .select((e) => e('id', '/', e.parens('id', '-', v.other)).as('quotient'))
      .where('id', '<', 6)
      .orderBy('id') as never,
  (db, v) =>
    db
      .selectFrom('city as a')
      .innerJoin('city as b', 'b.region', 'a.region')
      .selectAll('a')
      .selectAll('b')
      .where('a.id', '=', v.other)
      .orderBy('b.id')
      .limit(2) as never,
  (db, v) =>
    db
      .selectFrom('city as a')
      .select(['a.id', sql`a.name`.as('id')] as never)
      .where('a.id', '=', v.other),
  (db, v) =>
    city(db)
      .select('id')
      .where('region', '=', v.other % 4)
      .union(city(db).select('id').where('id', '=', v.other))
      .orderBy('id') as never,
  (db, v) =>
    db
      .withRecursive(
        'r(n)',
        (d) =>
          d
            .selectFrom('city')
            .select('id as n')
            .where('id', '=', 1)
            .unionAll(
              d
                .selectFrom('r' as never)
                .select(sql`n + 1`.as('n') as never)
                .where(is(sql`n < ${v.limit}`)) as never,
            ) as never,
      )
      .selectFrom('r' as never)
      .selectAll() as never,
  (db, v) =>
    city(db)
      .distinctOn('region')
      .select(['region', 'id', 'name'])
      .where('id', '<', v.other)
      .orderBy('region')
      .orderBy('pop', 'desc')
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select((e) => [
        'id',
        e.fn
          .countAll()
          .over((o) => o.partitionBy('region'))
          .as('peers'),
      ])
      .where('pop', '>', v.other)
      .orderBy('id')
      .limit(v.limit),
  (db, v) => city(db).select('id').where('code', '=', v.text).orderBy('id'),
  (db, v) =>
    db.selectFrom(sql`(select ${v.other}::int as "1", ${v.text}::text as "A b")`.as('c') as never).selectAll() as never,
  (db, v) =>
    city(db)
      .select((e) => [e.fn.jsonAgg('city').as('all')])
      .where('region', '=', v.other % 3) as never,
  (db, v) =>
    city(db)
      .select((e) => [sql`sum(${v.decimal}::numeric + area)`.as('total'), e.fn.avg('ratio').as('mean')])
      .where('region', '=', v.other % 4),
  (db, v) =>
    city(db)
      .select((e) => [sql`sum(${v.other}::int)`.as('total'), e.fn.countAll().as('n')])
      .where('region', '=', v.other % 4),
  (db, v) =>
    city(db)
      .select('id')
      .where(is(sql`name || ${v.text}::varchar = ${`city 3${v.text}`}`)),
  (db, v) =>
    city(db)
      .select('id')
      .where(is(sql`date_trunc('day', seen) < ${v.date}`))
      .orderBy('id')
      .limit(sql`${v.limit}::int` as never),
  (db, v) =>
    city(db)
      .select([sql`'it''s $1 "quoted" ?'`.as('text')])
      .where('id', '=', v.other) as never,
]

export const mysqlShapes: readonly Shape[] = [
  (db, v) => db.selectFrom('item').selectAll().where('city_id', '=', v.id).orderBy('qty').orderBy('id', 'desc'),
  (db, v) =>
    db
      .selectFrom('item as i')
      .selectAll('i')
      .select('i.price as cost')
      .where((e) => e.and([e('i.qty', '>', v.limit), e('i.city_id', '=', v.other % 9)]))
      .orderBy('i.label')
      .orderBy('i.id'),
  (db, v) => city(db).selectAll().where('region', '=', 1).where('id', '=', v.other),
  (db, v) => city(db).selectAll().where('id', '=', v.wild).limit(v.limit),
  (db, v) => db.selectFrom('item').select('qty as id').where('city_id', '=', v.other).orderBy('id'),
  (db, v) => db.selectFrom('city_view').selectAll().where('id', '=', v.other),
  (db, v) =>
    db.selectFrom('item').select(['price', 'label']).where('id', '=', Number(v.big)).where('city_id', '=', v.limit),
  (db, v) => city(db).select(['id', 'tags', 'meta', 'kind', 'raw', 'uid', 'dur', 'flag']).where('id', '=', v.id),
  (db, v) => city(db).selectAll().where('flag', '=', v.flag).orderBy('id').limit(3),
  (db, v) => city(db).select('id').where('seen', '>', v.date).orderBy('seen').orderBy('id').limit(v.limit),
  (db, v) =>
    city(db)
      .select((e) => ['id', e('area', '*', e.val(v.decimal) as never).as('x')])
      .where('id', '=', v.other) as never,
  (db, v) =>
    db
      .selectFrom('city as a')
      .innerJoin('city as b', 'b.region', 'a.region')
      .selectAll('a')
      .selectAll('b')
      .where('a.id', '=', v.other)
      .orderBy('b.id')
      .limit(2) as never,
  (db, v) =>
    city(db)
      .select(['id', sql`if(id > 5, name, 7)`.as('mixed')])
      .where('id', '=', v.other),
  (db, v) =>
    city(db)
      .select(['id', sql`"quoted $1 ?"`.as('text')])
      .where('id', '=', v.other),
  (db, v) =>
    city(db)
      .select((e) => [e.fn.sum('qty' as never).as('s')])
      .where('id', '=', v.other),
  (db, v) =>
    db
      .selectFrom('item')
      .select((e) => [e.fn.sum('qty').as('s'), e.fn.avg('price').as('a')])
      .where('city_id', '=', v.other % 9),
  (db, v) => city(db).select('id').where('code', '=', v.text).orderBy('id'),
  (db, v) => city(db).select('id').where('pop', '>', v.big).orderBy('id'),
  (db, v) =>
    city(db)
      .select('id')
      .where('region', '=', v.other % 4)
      .union(city(db).select('id').where('id', '=', v.other))
      .orderBy('id') as never,
]

export const sqliteShapes: readonly Shape[] = [
  (db, v) => city(db).select(['id', 'tags', 'meta', 'kind', 'raw', 'uid']).where('id', '=', v.id),
  (db, v) => city(db).select(['id', 'id']).where('id', '=', v.other),
  (db, v) =>
    city(db)
      .select(['id', 'kind', sql`typeof(kind)`.as('type')])
      .where('kind', '=', v.other)
      .orderBy('id'),
  (db, v) =>
    city(db)
      .select((e) => ['id', e('area', '*', e.val(v.decimal) as never).as('x')])
      .where('id', '=', v.other) as never,
  (db, v) =>
    city(db)
      .select(['id', sql`${v.text}`.as('t')])
      .where('region', '=', v.other % 4)
      .orderBy('id')
      .limit(v.limit),
  (db, v) =>
    db
      .selectFrom('city as a')
      .innerJoin('city as b', 'b.region', 'a.region')
      .selectAll('a')
      .selectAll('b')
      .where('a.id', '=', v.other)
      .orderBy('b.id')
      .limit(2) as never,
  (db, v) =>
    db
      .selectFrom('city as a')
      .select(['a.id', 'a.name as NAME', 'a.note'])
      .where('a.region', '=', v.other % 4)
      .orderBy('a.name', 'desc'),
]
