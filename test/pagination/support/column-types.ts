import type { SqlDialect } from '../../../src/pagination/types.ts'

/** A column type, values of it at its edges as SQL, and expressions over a column `k` of it that can be keys too. */
export interface ColumnType {
  readonly ddl: string
  readonly values: readonly string[]
  readonly computed?: readonly string[]
}

const text = (...values: readonly string[]) => values.map((value) => `'${value}'`)

const words = text('', 'a', 'A', 'b', 'é', 'e', 'Zoë', 'x y', '5', '05', '5.0', '-1', '1e3', 'zz', '🙂', '🙃', '中')
const numbers = ['0', '1', '-1', '2', '3', '7', '10', '1.5', '-2.25', '100']

const postgres: readonly ColumnType[] = [
  { ddl: 'int2', values: ['0', '-32768', '32767', '5'], computed: ['k / 3.0', '-(k::int)', 'k::text'] },
  { ddl: 'int4', values: ['0', '-2147483648', '2147483647', '12'], computed: ['k % 7', 'sqrt(abs(k::float8))'] },
  { ddl: 'int8', values: ['0', '9223372036854775807', '9007199254740993', '9007199254740992', '-9223372036854775808'] },
  {
    ddl: 'numeric',
    values: [
      '1.50',
      '1.500',
      '0',
      '-0.00001',
      '12345678901234567890.123456789',
      "'NaN'",
      "'Infinity'",
      '10000',
      '1e20',
    ],
    computed: ['k * 3', 'round(k, 1)'],
  },
  {
    ddl: 'float8',
    values: [
      '0',
      "'-0'",
      '0.1',
      '1e308',
      '1.7976931348623157e308',
      '5e-324',
      "'NaN'",
      "'Infinity'",
      "'-Infinity'",
      '0.30000000000000004',
      '123456789.123456789',
    ],
  },
  { ddl: 'float4', values: ['0.1', '1e38', '1e-45', "'NaN'", '16777217', '3.4028235e38'] },
  { ddl: 'text', values: words, computed: ['lower(k)', "k || 'x'", 'length(k)'] },
  { ddl: 'varchar(20)', values: words },
  { ddl: 'char(6)', values: words },
  { ddl: 'name', values: words },
  { ddl: 'text collate "C"', values: words },
  { ddl: 'bool', values: ['true', 'false'], computed: ['not k'] },
  {
    ddl: 'uuid',
    values: text(
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    ),
  },
  { ddl: 'bytea', values: ["'\\x'", "'\\x00'", "'\\xff00ff'", "'\\x5c27'"] },
  {
    ddl: 'date',
    values: text('2026-02-03', '2026-03-02', 'infinity', '-infinity', '0044-03-15 BC', '1970-01-01', '5874897-12-31'),
    computed: ['k + 0', "date_trunc('month', least(k, '4000-01-01'::date)::timestamp)"],
  },
  { ddl: 'time', values: text('00:00', '24:00', '12:34:56.789012', '23:59:59.999999') },
  {
    ddl: 'timetz',
    values: text('00:00+00', '24:00-15:59', '12:34:56.789012+05:30', '12:34:56.789012-05:30', '01:00+01'),
  },
  {
    ddl: 'timestamp',
    values: text(
      '2026-02-03 00:00',
      '2026-03-02 04:05:06.000001',
      'infinity',
      '-infinity',
      '4713-01-01 BC',
      '294276-12-31 23:59:59.999999',
    ),
  },
  {
    ddl: 'timestamptz',
    values: text(
      '2026-10-25 00:30+00',
      '2026-10-25 01:30+00',
      '2026-10-25 02:30+00',
      '1800-01-01 00:00:00.123456+00',
      'infinity',
      '-infinity',
      '4713-01-01 BC',
      '1999-12-31 23:59:59.999999+00',
    ),
    computed: ["k + interval '0.000001 s'"],
  },
  {
    ddl: 'interval',
    values: text(
      '0',
      '1 mon',
      '30 days',
      '-3 mons 4 days -0.5 s',
      '1 year 2 mons -3 days 04:05:06.789',
      '720 h',
      '-1 day',
    ),
    computed: ['k * 2'],
  },
  { ddl: 'bit(5)', values: ["B'00000'", "B'10101'", "B'11111'"] },
  { ddl: 'varbit(9)', values: ["B''", "B'0'", "B'00'", "B'101010101'"] },
  { ddl: 'inet', values: text('10.0.0.1', '10.0.0.0/8', '10.0.0.1/8', '::1', 'fe80::1/64', '255.255.255.255') },
  { ddl: 'cidr', values: text('10.0.0.0/8', '10.0.0.0/9', '::/0', '2001:db8::/32') },
  { ddl: 'macaddr', values: text('08:00:2b:01:02:03', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00') },
  { ddl: 'money', values: text('0', '-1.25', '12345.67') },
  { ddl: 'pg_lsn', values: text('0/0', '16/B374D848', 'FFFFFFFF/FFFFFFFF') },
  { ddl: 'oid', values: ['0', '4294967295', '77'] },
  { ddl: 'jsonb', values: text('1', '"a"', '{"b": [1, 2]}', '{}', '[]', 'null', '"é🙂"') },
  { ddl: 'size_of_shirt', values: text('small', 'large', '5', 'a b') },
  { ddl: 'moment', values: text('2026-10-25 00:30+00', '1999-12-31 23:59:59.999999+00', 'infinity') },
  { ddl: 'int4[]', values: text('{}', '{1,2}', '{1,NULL}', '{{1,2},{3,4}}', '{-5}') },
  { ddl: 'text[]', values: text('{}', '{a,b}', '{"a b","","NULL",NULL}', '{"q\\"uote","back\\\\slash","{}"}') },
  {
    ddl: 'timestamptz[]',
    values: text('{}', '{"2026-02-03 00:00+00"}', '{"2026-03-02 00:00:00.000001+00",NULL,infinity}'),
  },
  { ddl: 'float8[]', values: text('{0.1}', '{0.30000000000000004,1e308}', '{NaN}') },
  { ddl: 'size_of_shirt[]', values: text('{small}', '{large,small}', '{}') },
  { ddl: 'int4range', values: text('empty', '[1,5)', '[1,)', '(,3)', '(,)') },
  {
    ddl: 'tstzrange',
    values: [
      '\'["2026-02-03 00:00+00","2026-03-02 00:00:00.000001+00")\'',
      "'empty'",
      "'[2026-10-25 00:30+00,infinity]'",
    ],
  },
  { ddl: 'daterange', values: text('[2026-02-03,2026-03-02)', 'empty', '(,2026-01-01)') },
  // The library does not know these types, so their values go through text.
  {
    ddl: 'span',
    values: text('["2026-02-03 00:00+00","2026-03-02 00:00:00.000001+00")', 'empty', '[2026-10-25 00:30+00,)'),
  },
  { ddl: 'float_span', values: text('[0.1,0.30000000000000004)', '[0.1,0.3)', 'empty') },
  { ddl: 'moment[]', values: text('{}', '{"2026-02-03 00:00+00"}', '{"2026-03-02 00:00:00.000001+00",infinity}') },
  { ddl: 'size_span', values: text('[small,large)', 'empty') },
  { ddl: 'shirts', values: text('{small}', '{large,"a b"}', '{}') },
  { ddl: 'tsvector', values: ["''", "'a'", "'a:1 b:2'", "'''x y'':3'"] },
  { ddl: 'numrange', values: text('[1.50,2)', '[1.5,2.0)', 'empty') },
  { ddl: '"char"', values: ["'a'", "'Z'", "'5'", "' '"] },
  { ddl: 'macaddr8', values: text('08:00:2b:01:02:03:04:05', 'ff:ff:ff:ff:ff:ff:ff:ff') },
  { ddl: 'xid8', values: text('0', '18446744073709551615', '9007199254740993') },
  { ddl: 'tid', values: text('(0,1)', '(0,10)', '(4294967295,65535)') },
  { ddl: 'regclass', values: text('pg_class', 'pg_type', 'pg_catalog.pg_proc', '4294967294') },
  { ddl: 'tsquery', values: text('a', 'a & b', '!a', "''x y''") },
  { ddl: 'nummultirange', values: text('{}', '{[1.50,2)}', '{[1.5,2),[3,4]}', '{(,)}') },
  { ddl: 'tstzmultirange', values: text('{}', '{["2026-10-25 00:30+00","2026-10-25 01:30+00")}', '{(,)}') },
  { ddl: 'numeric(8,-2)', values: ['0', '100', '-12300', '1e9'] },
  { ddl: 'text collate "und-x-icu"', values: words },
  { ddl: 'text collate no_case', values: words },
  { ddl: 'nick', values: words },
  { ddl: 'nick[]', values: text('{}', '{a,B}', '{b}') },
  { ddl: 'jsonb[]', values: text('{}', '{"{\\"a\\": 1}"}', '{1,2,NULL}') },
  { ddl: 'uuid[]', values: text('{}', '{00000000-0000-0000-0000-000000000000}') },
  { ddl: 'interval day to second(2)', values: text('0', '1 day -00:00:01.25', '-1 day') },
  { ddl: 'timestamptz(0)', values: text('2026-10-25 00:30:00.6+00', 'infinity') },
]

const mysql: readonly ColumnType[] = [
  {
    ddl: 'int',
    values: ['0', '-2147483648', '2147483647', '5'],
    computed: ['k / 7', 'k % 3', 'concat(k)', '0 - k', 'sqrt(abs(k))'],
  },
  { ddl: 'int(8) unsigned zerofill', values: ['0', '7', '4294967295'] },
  { ddl: 'bigint', values: ['0', '9223372036854775807', '9007199254740993', '-9223372036854775808'] },
  { ddl: 'bigint unsigned', values: ['0', '18446744073709551615', '9007199254740993'] },
  {
    ddl: 'decimal(20,4)',
    values: ['0', '1.5000', '-2.2500', '12345678901234.5678'],
    computed: ['k / 3', 'round(k, 1)'],
  },
  {
    ddl: 'decimal(65,30)',
    values: ['0', '0.000000000000000000000000000001', '-99999999999999999999999999999999999.5'],
  },
  { ddl: 'float', values: ['0', '0.1', '1e-7', '-1.1e-15', '1e-30', '3.4e38', '16777217', '-0.3'] },
  {
    ddl: 'double',
    values: [
      '0',
      '0.1',
      '1e-300',
      '1e308',
      '0.30000000000000004',
      '9007199254740993',
      '-5',
      '-0.0000000000000010323389808948516',
    ],
    computed: ['k / 7', 'abs(k)'],
  },
  { ddl: 'bit(9)', values: ["b'0'", "b'1'", "b'111111111'"] },
  { ddl: 'year', values: ['0', '1901', '2155', '2024'] },
  { ddl: 'tinyint(1)', values: ['0', '1', '2'] },
  {
    ddl: 'varchar(40) charset utf8mb4 collate utf8mb4_unicode_ci',
    values: words,
    computed: ['lower(k)', "concat(k, '!')", 'length(k)', 'json_unquote(json_quote(k))'],
  },
  { ddl: 'varchar(40) charset utf8mb4 collate utf8mb4_bin', values: words },
  { ddl: 'varchar(40) charset latin1', values: words.filter((word) => !/[🙂🙃中]/u.test(word)) },
  { ddl: 'varchar(40) charset ucs2', values: words.filter((word) => !/[🙂🙃]/u.test(word)) },
  { ddl: 'char(10) charset utf8mb4', values: words },
  { ddl: 'text charset utf8mb4', values: words },
  { ddl: 'varbinary(20)', values: ["''", "x'00'", "x'ff00'", "'5'", "'a'"] },
  { ddl: 'blob', values: ["''", "x'00'", "x'ff00'", "'5'"] },
  { ddl: "enum('3','2','1','x','10')", values: text('3', '2', '1', 'x', '10') },
  {
    ddl: "enum('b\\\\c','it''s','a,b','x\\ny','é') charset latin1",
    values: ["'b\\\\c'", "'it''s'", "'a,b'", "'x\\ny'", "'é'"],
  },
  { ddl: "set('3','2','1','x')", values: text('', '3', '2', '1,x', '3,2,1,x', 'x') },
  { ddl: 'date', values: text('2026-02-03', '0000-00-00', '2026-00-00', '9999-12-31', '1000-01-01') },
  {
    ddl: 'datetime(6)',
    values: text('2026-02-03 00:00:00.000001', '0000-00-00', '9999-12-31 23:59:59.999999', '2026-10-25 02:30:00'),
    computed: ['coalesce(k, k)', 'UNIX_TIMESTAMP(k)', 'hour(k)'],
  },
  { ddl: 'time(6)', values: text('00:00:00', '-838:59:59', '838:59:59', '-00:00:00.5', '12:34:56.789012') },
  {
    ddl: 'timestamp(6) null',
    values: text(
      '2026-10-25 00:30:00',
      '2026-10-25 01:30:00',
      '2026-10-25 00:30:00.000001',
      '2026-10-25 01:29:59.999999',
      '2026-10-25 02:30:00',
      '1970-01-01 00:00:01',
      '2038-01-19 03:14:07.999999',
      '2026-03-29 01:00:00',
      '0000-00-00 00:00:00',
    ),
    computed: ['k + interval 1 day', "concat(k, '')"],
  },
  {
    ddl: 'uuid',
    values: text(
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      'b0eebc99-9c0b-1ef8-8b6d-6bb9bd380a11',
    ),
    computed: ['coalesce(k, k)'],
  },
  { ddl: 'inet6', values: text('::1', 'fe80::1', '::ffff:10.0.0.1', 'ff::') },
  { ddl: 'inet4', values: text('0.0.0.0', '10.0.0.1', '255.255.255.255', '9.0.0.0') },
  { ddl: 'json', values: text('1', '"a"', '{"b": 1}', '[]') },
  { ddl: 'varchar(40) charset utf8mb4 collate utf8mb4_unicode_nopad_ci', values: [...words, "'a '", "'a  '"] },
  { ddl: 'varchar(40) charset utf8mb4 collate utf8mb4_nopad_bin', values: [...words, "'a '"] },
  { ddl: 'varchar(40) charset utf8mb4 collate utf8mb4_german2_ci', values: [...words, "'ä'", "'ae'", "'ß'", "'ss'"] },
  { ddl: 'varchar(40) charset utf16', values: words },
  { ddl: 'varchar(40) charset sjis', values: text('a', 'b', 'ア', '表', '') },
  { ddl: 'binary(4)', values: ["''", "x'00'", "x'ff00'", "'a'"] },
  { ddl: 'decimal(10,2) unsigned zerofill', values: ['0', '1.5', '99999999.99'] },
  { ddl: 'float(7,2)', values: ['0', '0.1', '-1.5', '12345.67'] },
  { ddl: 'double unsigned', values: ['0', '0.1', '1e300'] },
  { ddl: 'bit(64)', values: ["b'0'", '18446744073709551615', '9223372036854775808'] },
  { ddl: 'datetime', values: text('2026-02-03 00:00:00', '2026-10-25 02:30:00', '2026-03-29 02:30:00') },
  { ddl: 'time', values: text('00:00:00', '-00:00:01', '838:59:59') },
  { ddl: 'mediumtext charset utf8mb4', values: words, computed: ["nullif(k, 'a')", "coalesce(k, 'm')"] },
  {
    ddl: "enum('b','a','c')",
    values: text('a', 'b', 'c'),
    computed: ["nullif(k, 'zz')", 'coalesce(k, k)', "if(k = 'a', k, k)", "concat(k, '')", 'k + 0', 'least(k, k)'],
  },
  {
    ddl: "set('b','a','c')",
    values: text('a', 'b', 'c,a', ''),
    computed: ["concat(k, '')", 'k + 0', 'coalesce(k, k)'],
  },
  {
    ddl: 'timestamp null',
    // Without zero: MariaDB sorts it like NULL when it is computed.
    values: text(
      '2026-10-25 00:30:00',
      '2026-10-25 01:00:00',
      '2026-10-25 01:30:00',
      '2026-10-25 02:30:00',
      '1970-01-01 00:00:01',
      '2038-01-19 03:14:07',
      '2026-03-29 00:59:59',
      '2026-03-29 01:00:00',
    ),
    computed: ['coalesce(k, k)', 'greatest(k, k)', 'hour(k)', 'if(k is null, k, k)'],
  },
]

const sqlite: readonly ColumnType[] = [
  {
    ddl: 'integer',
    values: ['0', '9007199254740993', '9007199254740992', '9223372036854775807', '-9223372036854775808', '5'],
    computed: ['k / 3.0', '-(k / 2)', "k || ''"],
  },
  { ddl: 'real', values: ['0.0', '-0.0', '5e-324', '1e308', '9e999', '9007199254740992.0', '0.1', '1.0/3'] },
  { ddl: 'text', values: words, computed: ['lower(k)', 'length(k)'] },
  { ddl: 'text collate nocase', values: words },
  { ddl: 'text collate rtrim', values: [...words, "'a '", "'a  '"] },
  { ddl: 'varchar(9)', values: [...words, ...numbers, "x'00'", "cast(x'61ff' as text)", "cast(x'61fe' as text)"] },
  { ddl: 'decimal(10,2)', values: [...numbers, "'1.50'", "'abc'", "'1e400'"] },
  { ddl: 'boolean', values: ['true', 'false', "'true'"] },
  { ddl: 'datetime', values: ["'2026-01-01'", "'2026-01-01T00:00:00Z'", '1767225600', '1767225600.5'] },
  { ddl: 'blob', values: ["x''", "x'00'", "x'ff00'", "'a'", '5', '1.5'] },
  { ddl: 'numeric', values: [...numbers, ...text('a', '5', '1e3'), "x'00'"] },
  { ddl: '', values: [...numbers, ...text('a', '5', '', 't1'), "x'00'", '9007199254740993', "'a' || char(0) || 'b'"] },
]

export const columnTypes: { readonly [Dialect in Exclude<SqlDialect, 'mssql'>]: readonly ColumnType[] } = {
  postgres,
  mysql,
  sqlite,
}

/** Types that the columns above name and the database does not have. */
export const ownTypes: readonly string[] = [
  `create type size_of_shirt as enum ('small', '5', 'large', 'a b')`,
  'create domain moment as timestamptz',
  'create domain shirts as size_of_shirt[]',
  `create collation no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
  `create domain nick as text check (value <> 'forbidden')`,
  'create type span as range (subtype = timestamptz)',
  'create type float_span as range (subtype = float8)',
  'create type size_span as range (subtype = size_of_shirt)',
]

/** What sessions may be set to. Each page of a walk may meet another one. */
export const sessionSettings: { readonly [Dialect in SqlDialect]?: readonly (readonly string[])[] } = {
  postgres: [
    [
      `set datestyle = 'ISO, MDY'`,
      `set timezone = 'UTC'`,
      'reset intervalstyle',
      'reset extra_float_digits',
      'reset bytea_output',
    ],
    [
      `set datestyle = 'SQL, DMY'`,
      `set timezone = 'Europe/Berlin'`,
      `set intervalstyle = 'sql_standard'`,
      'set extra_float_digits = 0',
      `set bytea_output = 'escape'`,
    ],
    [
      `set datestyle = 'German'`,
      `set timezone = 'America/St_Johns'`,
      `set intervalstyle = 'iso_8601'`,
      'set extra_float_digits = -15',
    ],
    [`set datestyle = 'Postgres, MDY'`, `set timezone = 'Asia/Kathmandu'`, `set intervalstyle = 'postgres_verbose'`],
  ],
  mysql: [
    [`set time_zone = '+00:00', names utf8mb4, sql_mode = ''`],
    [`set time_zone = '+00:00', names latin1, sql_mode = default`],
    [`set time_zone = 'Europe/Berlin', names utf8, sql_mode = ''`],
    [`set time_zone = 'Antarctica/Troll', names utf8mb4, sql_mode = default`],
    [`set time_zone = '+00:00', names binary, sql_mode = default`],
  ],
}

/** What changes the value of expressions too, so that a walk has it on every page. */
export const sessionModes: { readonly [Dialect in SqlDialect]?: readonly string[] } = {
  mysql: [
    `set time_zone = '+00:00', names utf8mb4, sql_mode = 'ORACLE'`,
    `set time_zone = '+00:00', names binary, sql_mode = 'ORACLE,EMPTY_STRING_IS_NULL'`,
  ],
}
