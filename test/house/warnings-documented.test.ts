import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const sources = globSync('src/**/*.ts').map((file) => readFileSync(file, 'utf8'))
const refusals = ['OOM', 'NOPERM', 'MISCONF', 'WRONGPASS']
const used = new Set([
  ...sources.flatMap((text) => [...text.matchAll(/\bcode: '([A-Z]+(?:_[A-Z]+)+)'/g)].map(([, code]) => code)),
  ...sources.flatMap((text) => [...text.matchAll(/\bwarn\('([A-Z]+(?:_[A-Z]+)+)'/gi)].map(([, code]) => code)),
  ...refusals.map((refusal) => `CACHE_REDIS_${refusal}`),
])
const headings = [...readFileSync('docs/warnings.md', 'utf8').matchAll(/^### ([A-Z_]+)$/gm)].map(([, code]) => code)

it('gives every code of a warning its heading in docs/warnings.md', () => {
  expect(used.size).toBeGreaterThan(20)
  expect([...used].filter((code) => !code?.startsWith('ERR_') && !headings.includes(code))).toEqual([])
})

it('documents no code that nothing warns with, and none twice', () => {
  expect(headings.filter((code) => !used.has(code))).toEqual([])
  expect(new Set(headings).size).toBe(headings.length)
})
