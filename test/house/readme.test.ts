import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { snippetsOf } from '../support/snippets.ts'

const readme = readFileSync('README.md', 'utf8')

describe('the README', () => {
  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
    const named = [...readme.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name ?? '')
    expect(named.filter((name) => !(name in scripts))).toEqual([])
  })

  it('names flags that `npm start` knows', () => {
    const main = readFileSync('examples/cities/main.ts', 'utf8')
    const [command = ''] = /npm start -- [^`]+/.exec(readme) ?? []
    const flags = [...command.matchAll(/--(\w+)/g)].map(([, flag]) => flag)
    expect(flags.length).toBeGreaterThan(2)
    expect(flags.filter((flag) => !main.includes(`${flag}: { type:`))).toEqual([])
  })

  // That the program does what the README says, from the installed package: test/package/programs.test.ts.
  it('is short: a program of 15 lines, and 900 words beside code and tables', () => {
    const [program] = snippetsOf('README.md').filter(({ language }) => language === 'ts')
    expect(program?.code.trimEnd().split('\n').length).toBeLessThanOrEqual(15)
    const text = readme.replace(/^```.*?^```$/gms, '').replace(/^\|.*$/gm, '')
    expect(text.split(/\s+/).length).toBeLessThanOrEqual(900)
  })
})
