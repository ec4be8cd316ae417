import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const promised = [
  'ERR_LIST_QUERY',
  'ERR_PAGE_INVALID',
  'ERR_PAGE_TOO_DEEP',
  'ERR_CURSOR_INVALID',
  'ERR_CURSOR_MISMATCH',
  'ERR_QUERY_UNSUPPORTED',
  'ERR_KEY_NULL',
  'ERR_CURSOR_UNSTABLE',
  'ERR_KEY_NOT_UNIQUE',
  'ERR_LOAD_TIMEOUT',
  'ERR_BATCH',
  'ERR_POOL_TIMEOUT',
  'ERR_QUERY_TIMEOUT',
  'ERR_COMMIT_AMBIGUOUS',
  'ERR_N_PLUS_ONE',
  'ERR_QUERY_BUDGET',
  'ERR_CLOSED',
  'ERR_PEER_MISSING',
]

const thrown = new Set(
  globSync('src/**/*.ts').flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/readonly code = '(ERR_[A-Z_]+)'/g)].map(([, code]) => code),
  ),
)
const headings = [...readFileSync('docs/errors.md', 'utf8').matchAll(/^## `?(ERR_[A-Z_]+)`?$/gm)].map(
  ([, code]) => code,
)

it('gives every code that an error class carries its heading in docs/errors.md', () => {
  expect(thrown.size).toBeGreaterThan(0)
  expect([...thrown].filter((code) => !headings.includes(code))).toEqual([])
})

it('documents no code that nothing throws, and none twice', () => {
  expect(headings.filter((code) => !thrown.has(code))).toEqual([])
  expect(new Set(headings).size).toBe(headings.length)
})

it('throws only codes that the contract names', () => {
  expect([...thrown].filter((code) => code === undefined || !promised.includes(code))).toEqual([])
})
