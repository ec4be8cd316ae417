import { type Kysely, type RawBuilder, sql } from 'kysely'

/** The tables of the statements: what shops, forums and tools for work have. */
export interface CorpusTables {
  users: { id: number; email: string; name: string; org_id: number; created_at: Date; deleted_at: Date | null }
  orders: { id: number; user_id: number; org_id: number; status: string; total: number; created_at: Date }
  order_items: { order_id: number; product_id: number; quantity: number }
  posts: { id: number; author_id: number; title: string; rank: number; created_at: Date }
  tags: { id: number; name: string }
  post_tags: { post_id: number; tag_id: number }
  settings: { org_id: number; key: string; value: string }
}

type Dialect = 'postgres' | 'mysql' | 'sqlite'
type Db = Kysely<CorpusTables>
type Statement = RawBuilder<unknown> | { execute(): Promise<unknown> }

export interface CorpusEntry {
  readonly name: string
  readonly dialect: Dialect
  /** What six runs in one request are. */
  readonly label: 'n+1' | 'duplicate' | 'none'
  /** The statement of each run, numbered from 1. */
  readonly statement: (db: Db, run: number) => Statement
}

const entries = (
  label: CorpusEntry['label'],
  dialect: Dialect,
  statements: Record<string, CorpusEntry['statement']>,
): CorpusEntry[] => Object.entries(statements).map(([name, statement]) => ({ name, dialect, label, statement }))

const list = (run: number, length = 2) => Array.from({ length }, (_, index) => run * 10 + index)
const rows = (run: number, length = 2) => list(run, length).map((id) => ({ post_id: run, tag_id: id }))

/** Statements as real applications send them, each labelled by a person. */
export const corpus: readonly CorpusEntry[] = [
  ...entries('n+1', 'postgres', {
    'a row by its key': (db, run) => db.selectFrom('users').selectAll().where('id', '=', run),
    'the rows of a parent': (db, run) => db.selectFrom('order_items').selectAll().where('order_id', '=', run),
    'a count for each parent': (db, run) =>
      db.selectFrom('orders').select(db.fn.countAll().as('n')).where('user_id', '=', run),
    'the latest row of each parent': (db, run) =>
      db.selectFrom('orders').selectAll().where('user_id', '=', run).orderBy('created_at', 'desc').limit(1),
    'a row of a fixed set of states for each parent': (db, run) =>
      db.selectFrom('orders').selectAll().where('user_id', '=', run).where('status', 'in', ['open', 'paid']),
    'a join for each parent': (db, run) =>
      db
        .selectFrom('post_tags')
        .innerJoin('tags', 'tags.id', 'post_tags.tag_id')
        .select('tags.name')
        .where('post_tags.post_id', '=', run),
    'one insert for each row': (db, run) => db.insertInto('post_tags').values({ post_id: 1, tag_id: run }),
    'one upsert for each row': (db, run) =>
      db
        .insertInto('settings')
        .values({ org_id: run, key: 'theme', value: 'dark' })
        .onConflict((conflict) => conflict.columns(['org_id', 'key']).doUpdateSet({ value: 'dark' })),
    'one update for each row': (db, run) => db.updateTable('orders').set({ status: 'paid' }).where('id', '=', run),
    'one delete for each row': (db, run) => db.deleteFrom('post_tags').where('tag_id', '=', run),
    'a lock for each row': (db, run) => db.selectFrom('orders').selectAll().where('id', '=', run).forUpdate(),
    'a soft-deleted row by its key': (db, run) =>
      db.selectFrom('users').selectAll().where('id', '=', run).where('deleted_at', 'is', null),
    'a row by its key in lower case': (_, run) =>
      sql`select * from users where lower(email) = ${`u${run}@example.com`}`,
    'a row by its key with a cast': (_, run) => sql`select * from users where id = ${run}::int`,
    'a row by its key in parentheses': (_, run) => sql`select * from users where (id) = (${run})`,
    'a row by two keys': (_, run) => sql`select * from settings where (org_id, key) = (${run}, ${'theme'})`,
    'a row by its key in the text': (_, run) => sql`select * from users where id = ${sql.lit(run)}`,
    'a row by its name in the text': (_, run) =>
      sql`select * from users where email = ${sql.lit(`u${run}@example.com`)}`,
    'a row by a negative key in the text': (_, run) => sql`select * from users where id = ${sql.lit(-run)}`,
    'a row with a trace comment behind it': (_, run) =>
      sql`select * from users where id = ${run} ${sql.raw(`/*traceparent='00-${run}a-01'*/`)}`,
    'a row with a comment line before it': (_, run) =>
      sql`${sql.raw(`-- request ${run}\n`)}select * from users where id = ${run}`,
    'a list of one': (db, run) => db.selectFrom('users').selectAll().where('id', 'in', [run]),
    'a list of one row': (_, run) => sql`select * from settings where (org_id, key) in ((${run}, ${'theme'}))`,
    'a list of states for each owner': (_, run) =>
      sql`select * from orders where user_id = ${run} and status = any(${['open', 'paid']})`,
    'an expression over a common table': (_, run) =>
      sql`with recent as (select * from orders where user_id = ${run}) select count(*) from recent`,
    'whether a row exists': (_, run) => sql`select exists (select 1 from users where id = ${run}) as found`,
    'a function that returns rows': (_, run) => sql`select * from order_summary(${run})`,
    'the rows since an event of another parent': (db, run) =>
      db
        .selectFrom('orders')
        .selectAll()
        .where('user_id', '=', run)
        .where('created_at', '>', new Date(run))
        .orderBy('created_at'),
    'a lateral join for each parent': (_, run) =>
      sql`select * from users u, lateral (select * from orders o where o.user_id = u.id limit 1) o where u.id = ${run}`,
    'an insert from a select for each row': (_, run) =>
      sql`insert into post_tags (post_id, tag_id) select ${run}, id from tags where name = 'new'`,
    'a parent with its children as JSON': (_, run) =>
      sql`select u.*, p.data from users u left join lateral (select json_agg(title) as data from posts where author_id = u.id) p on true where u.id = ${run} limit ${1}`,
    'a row by its key in the text, with a fixed list': (_, run) =>
      sql`select * from orders where user_id = ${sql.lit(run)} and status in ('open', 'paid')`,
    'an update by its key in the text, with a fixed list': (_, run) =>
      sql`update orders set total = 0 where user_id = ${sql.lit(run)} and status in ('open', 'paid')`,
    'a state for each group of orders': (_, run) =>
      sql`update orders set status = ${`s${run}`} where id in (${sql.join(list(run))})`,
  }),
  ...entries('n+1', 'mysql', {
    'a row by its key, MySQL': (db, run) => db.selectFrom('users').selectAll().where('id', '=', run),
    'a text in double quotes': (_, run) => sql`select * from users where email = ${sql.raw(`"u${run}@example.com"`)}`,
    'a text with an escaped quote': (_, run) => sql`select * from users where name = ${sql.raw(`'O\\'Neil ${run}'`)}`,
    'a comment line of MySQL': (_, run) => sql`${sql.raw(`# request ${run}\n`)}select * from users where id = ${run}`,
    'a replaced row, MySQL': (_, run) => sql`replace into settings values (${run}, 'a', 'b')`,
    'an insert that ignores what is there': (_, run) => sql`insert ignore into tags (name) values (${`t${run}`})`,
    'a duplicate key update of one row': (_, run) =>
      sql`insert into settings values (${run}, 'a', 'b') on duplicate key update value = values(value)`,
  }),
  ...entries('n+1', 'sqlite', {
    'a row by its key, SQLite': (db, run) => db.selectFrom('users').selectAll().where('id', '=', run),
    'a replaced row': (_, run) => sql`insert or replace into settings values (${run}, ${'a'}, ${'b'})`,
  }),
  ...entries('duplicate', 'postgres', {
    'the same row': (db) => db.selectFrom('users').selectAll().where('id', '=', 1),
    'the same settings without a parameter': () => sql`select * from settings`,
    'the same short list': (db) => db.selectFrom('tags').selectAll().where('name', 'in', ['a', 'b']),
    'the same list in the text': () => sql`select * from tags where name in ('a', 'b')`,
    'the same row with a new trace each time': (_, run) =>
      sql`select * from users where id = ${1} ${sql.raw(`/* trace ${run} */`)}`,
  }),
  ...entries('none', 'postgres', {
    'our own suggestion for two columns': (db, run) =>
      db
        .selectFrom('order_items')
        .selectAll()
        .where((eb) =>
          eb(
            eb.refTuple('order_id', 'product_id'),
            'in',
            list(run).map((id) => eb.tuple(run, id)),
          ),
        ),
    'lists of other lengths': (db, run) =>
      db
        .selectFrom('users')
        .selectAll()
        .where('id', 'in', list(run, run + 1)),
    'lists of one tenant': (db, run) =>
      db.selectFrom('users').selectAll().where('org_id', '=', 1).where('id', 'in', list(run)),
    'a list with casts': (_, run) =>
      sql`select * from users where id in (${sql.join(list(run, run + 1).map((id) => sql`${id}::int`))})`,
    'a list with other casts': (_, run) =>
      sql`select * from users where id in (${sql.join(list(run, run + 1).map((id) => sql`cast(${id} as bigint)`))})`,
    'a list in parentheses': (_, run) =>
      sql`select * from users where id in (${sql.join(list(run, run + 1).map((id) => sql`(${id})`))})`,
    'a list of rows with casts': (_, run) =>
      sql`select * from settings where (org_id, key) in (${sql.join(list(run).map((id) => sql`(${id}::int, ${'a'}::text)`))})`,
    'an array': (_, run) => sql`select * from users where id = any(${list(run)})`,
    'an array with a cast': (_, run) => sql`select * from users where id = any(${list(run)}::int[])`,
    'an array of parameters': (_, run) => sql`select * from users where id = any(array[${sql.join(list(run))}])`,
    'an array of parameters of other lengths': (_, run) =>
      sql`select * from users where id = any(array[${sql.join(list(run, run + 1))}]::int[])`,
    'any of some values': (_, run) =>
      sql`select * from users where id = any (values ${sql.join(list(run, run + 1).map((id) => sql`(${id}::int)`))})`,
    'all but an array': (_, run) => sql`select * from users where org_id = 1 and id <> all(${list(run)})`,
    'a list in the text': (_, run) => sql`select * from users where id in (${sql.raw(list(run, run + 1).join())})`,
    'alternatives without parentheses': (_, run) =>
      sql`select * from users where ${sql.join(
        list(run, run + 1).map((id) => sql`id = ${id}`),
        sql` or `,
      )} order by id`,
    'alternatives in the builder': (db, run) =>
      db
        .selectFrom('users')
        .selectAll()
        .where('org_id', '=', 1)
        .where((eb) => eb.or(list(run, run + 1).map((id) => eb('id', '=', id)))),
    'an update of each row to its own value': (_, run) =>
      sql`update orders set total = case id ${sql.join(
        list(run, run + 1).map((id) => sql`when ${id} then ${id}::int`),
        sql` `,
      )} end where id in (${sql.join(list(run, run + 1))})`,
    'a join with an array': (_, run) =>
      sql`select users.* from unnest(${list(run)}::int[]) as wanted (id) join users using (id)`,
    'a list from an array': (_, run) => sql`select * from users where id in (select unnest(${list(run)}::int[]))`,
    'a join with values': (_, run) =>
      sql`select * from (values ${sql.join(list(run).map((id) => sql`(${id}::int)`))}) as w (id) join users using (id)`,
    'an insert of several rows': (db, run) => db.insertInto('post_tags').values(rows(run)),
    'an insert of several rows with raw columns': (_, run) =>
      sql`insert into posts (id, created_at) values ${sql.join(list(run).map((id) => sql`(${id}, now() - interval '1 day')`))}`,
    'an insert from arrays': (_, run) =>
      sql`insert into post_tags select * from unnest(${list(run)}::int[], ${list(run)}::int[])`,
    'an insert from JSON': (_, run) =>
      sql`insert into tags select * from jsonb_to_recordset(${JSON.stringify(rows(run))}) as t (id int, name text)`,
    'an update from values': (_, run) =>
      sql`update orders set status = v.s from (values ${sql.join(list(run).map((id) => sql`(${id}, ${'paid'})`))}) v (id, s) where orders.id = v.id`,
    'a delete of a list': (db, run) => db.deleteFrom('post_tags').where('tag_id', 'in', list(run)),
    'alternatives, one for each row': (_, run) =>
      sql`select * from settings where ${sql.join(
        list(run, run + 1).map((id) => sql`(org_id = ${id} and key = ${'a'})`),
        sql` or `,
      )}`,
    'a setting of the transaction': (_, run) => sql`select set_config('app.user_id', ${String(run)}, true)`,
    'an advisory lock': (_, run) => sql`select pg_advisory_xact_lock(${run})`,
    'an advisory lock that may fail': (_, run) => sql`select pg_try_advisory_lock(hashtext(${`job${run}`})) as locked`,
    'a notification': (_, run) => sql`select pg_notify('jobs', ${String(run)})`,
    'the next number of a sequence': () => sql`select nextval('invoice_number')`,
    'the clock': () => sql`select now(), extract(epoch from now()), current_user`,
    numbers: (_, run) => sql`select * from generate_series(1, ${run})`,
    'a local setting': () => sql`set local lock_timeout = '1s'`,
    'a savepoint by hand': (_, run) => sql`${sql.raw(`savepoint s${run}`)}`,
    'a procedure': (_, run) => sql`call refresh_totals(${run})`,
    'a notification by its statement': () => sql`notify jobs`,
    'pages by an offset': (db, run) =>
      db
        .selectFrom('posts')
        .selectAll()
        .orderBy('id')
        .limit(10)
        .offset(run * 10),
    'pages by a bound': (db, run) => db.selectFrom('posts').selectAll().where('id', '>', run).orderBy('id').limit(10),
    'pages by a raw bound of two keys': (_, run) =>
      sql`select * from posts where (created_at, id) < (${new Date(run)}, ${run}) order by created_at desc, id desc limit 10`,
    'pages by a raw bound with casts': (_, run) =>
      sql`select * from posts p where (p.created_at, p.id) < (${String(run)}::timestamptz, ${run}::int) order by p.created_at desc, p.id desc limit 10`,
    'pages by a raw bound in the builder': (db, run) =>
      db
        .selectFrom('posts')
        .selectAll()
        .where(sql<boolean>`(rank, id) > (${run}, ${run})`)
        .where('author_id', '=', 1)
        .orderBy('rank')
        .orderBy('id')
        .limit(10),
    'pages by a bound spelled out': (_, run) =>
      sql`select * from posts where rank > ${run} or (rank = ${run} and id > ${run}) order by rank, id limit 10`,
    'pages by a bound that stands first': (_, run) => sql`select * from posts where ${run} < id order by id limit 10`,
    'pages by a bound of another name': (_, run) =>
      sql`select p.id as post_id from posts p where p.id > ${run} order by post_id limit 10`,
    'pages of the rows whose JSON has a key': (_, run) =>
      sql`select * from settings where id > ${run} and value ? ${'theme'} order by id limit ${10}`,
    'pages of the rows whose JSON has one of some keys': (_, run) =>
      sql`select * from settings where id > ${run} and value ?| ${['theme']} order by id limit 10`,
    'pages of the rows whose JSON has all of some keys': (_, run) =>
      sql`select * from settings where org_id = ${1} and value ?& ${['theme']} order by id limit 10 offset ${run * 10}`,
    'pages by an offset in the text': (_, run) =>
      sql`select * from posts order by id limit 10 offset ${sql.lit(run * 10)}`,
  }),
  ...entries('none', 'mysql', {
    'a list, MySQL': (db, run) => db.selectFrom('users').selectAll().where('id', 'in', list(run)),
    'a list in one text': (_, run) => sql`select * from users where find_in_set(id, ${list(run).join()})`,
    'a member of a JSON list': (_, run) => sql`select * from users where id member of (${JSON.stringify(list(run))})`,
    'a named lock': (_, run) => sql`select get_lock(${`job${run}`}, 10)`,
    'a setting, MySQL': (_, run) => sql`set @actor = ${run}`,
    'rows by name': (_, run) => sql`insert into tags (id) values row(${run}), row(${run + 1})`,
    'a JSON table': (_, run) =>
      sql`select users.* from json_table(${JSON.stringify(list(run))}, '$[*]' columns (id int path '$')) t join users using (id)`,
    'pages by an offset before the limit': (_, run) => sql`select * from posts order by id limit ${run * 10}, 10`,
    'the last key': () => sql`select last_insert_id() from dual`,
  }),
  ...entries('none', 'sqlite', {
    'a list from JSON': (_, run) =>
      sql`select * from users where id in (select value from json_each(${JSON.stringify(list(run))}))`,
    'a pragma': () => sql`pragma user_version`,
    'what changed': () => sql`select changes(), last_insert_rowid()`,
    'a list of rows by values': (_, run) =>
      sql`select * from settings where (org_id, key) in (values ${sql.join(list(run).map((id) => sql`(${id}, ${'a'})`))})`,
  }),
]
