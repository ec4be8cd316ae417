import type { SqlDialect } from '../../../src/pagination/types.ts'

/** Columns of a table, by names of one letter, each with its type and values of it. */
interface Columns {
  readonly [name: string]: readonly [ddl: string, ...values: string[]]
}

const texts = ["'a'", "'A'", "'b'", "'é'", "'e'", "''", "'a '", "'Zoë'", "'10'", "'9'", "'-1'", "'1e3'", "'🙂'"]
const instants = [
  "'2026-01-31 10:00:00.000001'",
  "'2026-01-31 10:00:00'",
  "'2026-03-01 23:59:59.999999'",
  "'1999-12-31'",
]

const shared: Columns = {
  n: ['int', '1', '2', '3', '-7', '10'],
  m: ['int', '3', '7', '9', '-3', '11'],
  d: ['decimal(10,3)', '0.125', '1.5', '-2.25', '100', '99.999', '0.001'],
  v: ['varchar(20)', ...texts],
}

export const shapeColumns: Readonly<Record<Exclude<SqlDialect, 'mssql'>, Columns>> = {
  postgres: {
    ...shared,
    f: ['float8', '0.1', '0.30000000000000004', '1e300', "'NaN'", '-5e-324', '3'],
    r: ['float4', '0.1', '16777216', '1e-30', "'-Infinity'", '7'],
    c: ['char(6)', ...texts.slice(0, 12)],
    t: ['timestamp', ...instants, "'infinity'"],
    z: ['timestamptz', ...instants, "'-infinity'"],
    y: ['date', "'2026-01-31'", "'2026-03-01'", "'0044-03-15 BC'"],
    o: ['time', "'24:00'", "'00:00'", "'12:34:56.789'"],
    i: ['interval', "'1 mon'", "'30 days'", "'-1 day 1 s'", "'1 year'", "'0.000001 s'"],
    q: ['money', "'1.10'", "'-3.33'", "'100'"],
    e: ['mood', "'sad'", "'ok'", "'happy'"],
    u: ['even', '2', '4', '-6'],
    a: ['int[]', "'{}'", "'{1,2}'", "'{1,null}'", "'{1}'", "'{-3}'"],
    g: ['int4range', "'empty'", "'[1,5)'", "'[1,)'", "'(,3)'"],
    j: ['jsonb', `'{"p":1.50}'`, `'{"p":"a"}'`, `'{"p":null}'`, `'{"p":[1]}'`, `'{"p":{"q":2}}'`, "'3'"],
    b: ['bool', 'true', 'false'],
  },
  sqlite: {
    ...shared,
    f: ['real', '0.1', '0.30000000000000004', '1e300', '-5e-324', '3'],
    l: ['int', '9007199254740993', '9007199254740992', '-9223372036854775808', '5'],
    b: ['', '1', '1.5', "'1'", "x'31'", "'a'", '9007199254740993', "''"],
    k: ['text collate nocase', ...texts],
    t: ['text', ...instants],
    x: ['blob', "x''", "x'00'", "x'ff'", "x'6100'"],
    j: ['text', `'{"p":1.5}'`, `'{"p":"a"}'`, `'{"p":null}'`, `'{"p":[1]}'`, `'{"p":true}'`],
  },
  mysql: {
    ...shared,
    f: ['double', '0.1', '0.30000000000000004', '1e300', '-1e-300', '3'],
    r: ['float', '0.1', '16777216', '1e-30', '-1e38', '7'],
    p: ['bigint unsigned', '18446744073709551615', '9007199254740993', '0', '9007199254740992'],
    c: ['varchar(20) character set latin1', ...texts.slice(0, 12)],
    k: ['varchar(20) collate utf8mb4_bin', ...texts],
    x: ['varbinary(20)', "''", "x'00'", "x'ff'", "'a'", "'A'"],
    t: ['datetime(6)', ...instants],
    z: ['timestamp(6) null', ...instants],
    y: ['date', "'2026-01-31'", "'2026-03-01'", "'0001-01-01'"],
    o: ['time(3)', "'-838:59:59'", "'00:00:00'", "'12:34:56.789'", "'-01:00:00'", "'-02:00:00'"],
    e: ["enum('b','a','3','2')", "'b'", "'a'", "'3'", "'2'"],
    s: ["set('b','a','2')", "'b'", "'a,b'", "''", "'2'"],
    i: ['bit(9)', "b'1'", "b'110001'", "b'0'", "b'100000000'"],
    h: ['year', '1999', '2026', '1901'],
    j: ['json', `'{"p":1.50}'`, `'{"p":"a"}'`, `'{"p":null}'`, `'{"p":true}'`, `'{"p":-2}'`, `'{"p":"é"}'`],
  },
}

/** Expressions over the table `x`, which the source of a query may not have for each row of `h`. */
function expressions(list: string): string[] {
  return list.trim().split(/;\s+/)
}

const anywhere = expressions(`
    x.n / 3.0; x.d / 7; x.d * x.d; x.n + x.d; x.d / x.m; x.n * 1.0 / x.m; round(x.d, 1); abs(x.n) % 3; lower(x.v);
    upper(x.v); trim(x.v); substr(x.v, 1, 1); length(x.v); replace(x.v, 'a', 'B'); coalesce(x.n, x.m);
    nullif(x.n, x.m); case when h.id % 2 = 0 then x.n end; coalesce(x.d, x.n); x.n is null; x.n < x.m; x.v = 'a';
    case when x.n > 2 then x.d else x.n end; -x.d; x.n + x.f; x.f / 3; row_number() over (order by x.n, h.id);
    lag(x.v) over (order by h.id); sum(x.d) over (order by h.id); avg(x.n) over (partition by h.w);
    rank() over (order by x.v); x.n - max(x.n) over (partition by h.w); lag(x.d) over (order by h.id) / 3;
    first_value(x.v) over (partition by h.w order by h.id); (select max(s.v) from shape_rows s where s.w = h.w);
    (select avg(s.d) from shape_rows s where s.w = h.w); (select s.n from shape_rows s where s.id = h.w);
    (select count(*) from shape_rows s where s.n < x.n); (select sum(s.f) from shape_rows s where s.w = h.w);
    (select s.d / 7 from shape_rows s where s.id = h.w)`)

/** Keys besides the columns of `x`. */
export const shapeExpressions: Readonly<Record<Exclude<SqlDialect, 'mssql'>, readonly string[]>> = {
  postgres: expressions(`
    date_trunc('month', x.t); x.t + x.i; extract(epoch from x.i); extract(month from x.y); x.q / 3; x.q * 1.5;
    x.i * 1.5; x.i / 7; x.z at time zone 'Europe/Berlin'; x.t - timestamp '2026-01-01';
    date_bin('7 days', x.t, '2001-01-01'); x.j -> 'p'; x.j ->> 'p'; x.j #>> '{p,q}'; x.j; jsonb_typeof(x.j -> 'p');
    x.a[1]; x.a || x.n; cardinality(x.a); lower(x.g); upper(x.g); x.g * int4range(1, 4); x.v collate "C";
    lower(x.v) collate "C"; concat(x.v, x.c); x.v || x.c; x.e::text; x.f::float4; x.r::float8; x.r * 3;
    x.f::numeric(20,3); x.u + 1; greatest(x.n, x.m); x.n::text; to_char(x.t, 'YYYY-MM');
    array_agg(x.n) over (partition by h.w order by h.id);
    string_agg(x.v, ',') over (partition by h.w order by h.id); percent_rank() over (order by x.n);
    (select array_agg(s.n order by s.id) from shape_rows s where s.w = h.w); stddev(x.n) over (partition by h.w);
    max(x.e) over (partition by h.w); md5(x.v); x.v::bytea; x.n::bit(8); x.y + interval '1 month'; least(x.t, x.y);
    x.o - x.i; ntile(4) over (order by x.v, h.id); x.b and x.n > 1; max(x.z) over (partition by h.w);
    sum(x.q) over (order by h.id); sum(x.i) over (order by h.id); x.t::text;
    avg(x.r) over (partition by h.w order by h.id); x.c::text; x.c || 'x'`).concat(anywhere),
  sqlite: expressions(`
    x.j ->> '$.p'; x.j -> '$.p'; json_extract(x.j, '$.p'); strftime('%Y-%m', x.t); julianday(x.t); unixepoch(x.t);
    x.v collate nocase; x.n || x.v; cast(x.v as int); cast(x.b as text); typeof(x.b); x.b + 0; +x.k; lower(x.k);
    x.k || x.v; coalesce(x.b, x.k); x.l + 1; x.l / 2; x.l * 1.0; hex(x.x); x.v collate rtrim; max(x.n, x.m);
    max(x.b) over (partition by h.w); group_concat(x.v) over (partition by h.w order by h.id);
    percent_rank() over (order by x.n); case when h.id % 2 = 0 then x.k else x.v end; cast(x.n as real);
    printf('%.2f', x.f); round(x.f, 2); (select max(s.k) from shape_rows s where s.w = h.w);
    max(x.k) over (partition by h.w); total(x.n) over (partition by h.w)`).concat(anywhere),
  mysql: expressions(`
    date_format(x.t, '%Y-%m'); timestampdiff(hour, x.t, x.z); x.t + interval 1 month; extract(year_month from x.t);
    date(x.t); time(x.t); hour(x.z); date(x.z); unix_timestamp(x.z); timediff(x.t, x.z); addtime(x.t, x.o);
    last_day(x.y); greatest(x.t, x.y); coalesce(x.t, x.y); to_days(x.y); week(x.t); sec_to_time(x.n);
    maketime(x.n, 1, 2.5); json_extract(x.j, '$.p'); json_unquote(json_extract(x.j, '$.p'));
    json_value(x.j, '$.p'); concat(x.v, x.c); concat(x.c, x.k); concat(x.n, x.v); x.v collate utf8mb4_bin;
    convert(x.v using latin1); x.n div x.m; x.f * 3; x.r * 3; x.r / 3; x.p / 3; x.p + 0.5; x.n & 5; x.p | 1;
    greatest(x.n, x.d); greatest(x.n, x.v); least(x.v, x.c); ifnull(x.v, x.n); if(h.id % 2, x.v, x.n);
    if(h.id % 2, x.d, x.f); if(h.id % 2, x.t, x.y); if(h.id % 2, x.o, x.t); x.e + 0; concat(x.e);
    cast(x.e as char); cast(x.s as char); x.s + 0; cast(x.v as signed); cast(x.v as decimal(10,2));
    cast(x.f as decimal(20,3)); cast(x.t as time); x.i + 0; hex(x.x); weight_string(x.v); left(x.x, 1);
    concat(x.x, x.v); coalesce(x.x, x.v); x.h + 1; x.o + 0; x.t + 0; cast(x.n as char); cast(x.v as binary);
    max(x.o) over (partition by h.w); max(x.t) over (partition by h.w); max(x.z) over (partition by h.w);
    sum(x.r) over (order by h.id); avg(x.d) over (partition by h.w);
    std(x.n) over (partition by h.w order by h.id); percent_rank() over (order by x.n); avg(x.r) over (order by h.id);
    (select max(s.o) from shape_rows s where s.w = h.w); (select max(s.z) from shape_rows s where s.w = h.w);
    (select group_concat(s.v order by s.id) from shape_rows s where s.w = h.w);
    (select s.e from shape_rows s where s.id = h.w); (select s.o from shape_rows s where s.id = h.w);
    (select s.r from shape_rows s where s.id = h.w); format(x.d, 1); truncate(x.d, 1); power(x.n, 2); sqrt(x.m);
    x.f % 2; bit_count(x.n); inet_aton(x.v); soundex(x.v); lpad(x.n, 4, 0)`).concat(anywhere),
}
