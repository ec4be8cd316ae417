import { describe, expect, it } from 'vitest'
import { readableTokens } from '../../../src/database/auto-batch/readable-tokens.ts'
import { foldedPositions } from '../../../src/database/fingerprint/folded-parameters.ts'

const positionsIn = (sql: string) => foldedPositions(readableTokens(sql, 'postgres') as string[])

describe('foldedPositions', () => {
  it.each([
    'select * from "city" where "id" = $1 and "c"."name" <> $2 or $3 < "pop" limit $4 offset $5',
    'select "id" from "city" where "id" in ($1, $2) and "id" = any($3::int[]) and ("a", "b") > ($4, $5)',
    'select "id" from "city" where ("a", "b") in (($1, $2), ($3, $4)) and "id" between $5 and $6',
    'select "id" from "city" where "name" like $1 and "name" not ilike $2 and "note" is distinct from $3',
    'select "id" from "city" where lower("name") = $1 and date_trunc($$day$$, "at") < $2'.replaceAll('$$', "'"),
    'select $1::int + id as "sum", $2 as "same", "id" / ("id" - $3) from "city" where "name" || $4::varchar = $5',
    'select sum($1::numeric + area), sum($2::int), count(*) filter (where "id" = $3) from "city" having count(*) > $4',
    'select case when "id" = $1 then $2 else $3::text end as "x" from "city" where cast($4 as timestamp with time zone) > "at"',
    'with "w" as (select "id" from "city" where "region" = $1) select * from "w" where exists (select "x" from "y" where "z" = $2)',
    'select "id" from (select "id" from "city" where "id" < $1 limit $2) as "s" where meta @> $3::jsonb and tags && $4',
    'select "id" from "city" where ("id" = $1 or "id" = ($2)::"pg_catalog"."int4") and coalesce("a" = $3, false)',
  ])('lets the values vary of %s', (sql) => {
    expect(positionsIn(sql)).toEqual([])
  })

  it.each([
    'make_date(2024, $1, 1) < "at"',
    '"at" > make_date(2024, $1, 1)',
    '"n" = $1::text::numeric',
    '"n" = ($1::text)::numeric',
    '"n" = cast(cast($1 as text) as int)',
    '"n" = cast($1 as text)::int',
    '"n" = $1::numeric(3, 1)',
    '"n" = cast($1 as numeric(3, 1))',
    '"n" > 10 / $1',
    '"n" > 10/$1',
    '"n" = - $1::int',
    '"n" =-$1::int',
    '"n" + $1 * 2 > 5',
    '"n" > 2::int + $1',
    '"at" > current_date - $1::int',
    '"at" > now() - $1::interval',
    '"at" > $1 + interval \'1 day\'',
    '"n" > $1 + f(1)',
    '"n" > ($1 + 1)',
    '"name" ~ $1',
    '"name" ~* any ($1)',
    '"name" similar to $1',
    '"name" like \'a\' escape $1',
    '"name" like $1 escape \'a\'',
    '"n" = abs($1)',
    '"n" = f("n", $1)',
    '"n" = "f"($1 = 2)',
    '"n" = f(($1, 2))',
    '"n" = extract(year from $1::date)',
    '"n" in (select "x"::int from (select $1::text as "x") as "s")',
    '"n" in (select "x"::int from (values ($1)) as "s"("x"))',
    '"n" = any(string_to_array($1, \',\')::int[])',
    '"n" = any((array[$1])::int[])',
    '"at" at time zone $1 > \'2024-01-01\'',
  ])('does not where the planner may compute: %s', (condition) => {
    expect(positionsIn(`select "id" from "city" where "id" = $2 and ${condition}`)).toEqual([0])
  })

  it('does not for a parameter that is used twice', () => {
    expect(positionsIn('select "id" from "city" where "name" = $1 and "n" = $1::int')).toEqual([0])
  })
})
