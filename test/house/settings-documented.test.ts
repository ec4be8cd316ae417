import { readFileSync } from 'node:fs'
import { settingsFromEnv } from 'posthaste'
import { expect, it } from 'vitest'

const rows = readFileSync('docs/settings.md', 'utf8')
  .split('\n')
  .map((line) => /^\| `([A-Z_]+(?:<NAME>)?)` .*\| `((?:pagination|cache|alerts|pool)\.[\w.]+)`/.exec(line))
  .filter((match) => match !== null)
  .map(([, variable = '', place = '']) => ({ variable, place }))

const values: Readonly<Record<string, string>> = {
  USE_REDIS_CACHE: 'true',
  REDIS_URL: 'redis://127.0.0.1:1',
  DB_POOL_PRE_PING: 'false',
}

it('lists in docs/settings.md every variable that is read, and no other', () => {
  const read = [...readFileSync('src/shared/platform/env.ts', 'utf8').matchAll(/\(env, '([A-Z_]+)'/g)].map(
    ([, name]) => name,
  )
  expect(rows.map(({ variable }) => variable).sort()).toEqual([...new Set(read), 'CACHE_TTL_<NAME>'].sort())
})

it.each(rows)('puts $variable where docs/settings.md says', ({ variable, place }) => {
  const settings = settingsFromEnv({ [variable.replace('<NAME>', 'USERS')]: values[variable] ?? '7' })
  const value = place.split('.').reduce((part: unknown, name) => (part as Record<string, unknown>)[name], settings)
  expect(value).toBeDefined()
})
