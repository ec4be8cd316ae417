import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { snippetsOf, typeErrors } from '../support/snippets.ts'

const pages = ['README.md', 'CONTRIBUTING.md', 'llms.txt', ...globSync('docs/**/*.md')]

describe('the documents', () => {
  it('have code whose names, options and types are those of the library', () => {
    const snippets = pages
      .flatMap((page) => snippetsOf(page))
      .filter(({ language, code }) => {
        // Nest is not installed here: test/package/nest.test.ts compiles and runs these.
        return language === 'ts' && !code.includes("'@nestjs/")
      })
    expect(snippets.length).toBeGreaterThan(20)
    expect(typeErrors(snippets)).toEqual([])
  }, 120_000)

  it('link to files and headings that exist', () => {
    const written = pages.filter((page) => !page.startsWith('docs/reference/'))
    const broken = written.flatMap((page) =>
      [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#]*)(#[^)]*)?\)/g)]
        .map(([, file = '', heading]) => ({ file: file === '' ? page : join(dirname(page), file), heading }))
        .filter(
          ({ file, heading }) => !existsSync(file) || (heading !== undefined && !headingsOf(file).includes(heading)),
        )
        .map(({ file, heading = '' }) => `${page}: ${file}${heading}`),
    )
    expect(broken).toEqual([])
  })
})

/** The anchors of a page's headings, as GitHub makes them. */
function headingsOf(page: string): string[] {
  return [...readFileSync(page, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => {
    return `#${title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-')}`
  })
}
