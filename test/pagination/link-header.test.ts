import fc from 'fast-check'
import { linkHeader, listQuery } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { character } from './support/characters.ts'

/** RFC 8288, section 3, as far as we write it. */
function parse(header: string): Record<string, string> {
  const links: Record<string, string> = {}
  for (const link of header.split(', ')) {
    const match = /^<([\x21-\x3b\x3d\x3f-\x7e]*)>; rel="(\w+)"$/.exec(link)
    if (match === null) throw new Error(`no link: ${link}`)
    links[match[2] as string] = match[1] as string
  }
  return links
}

const numbered = (fields: object) => ({
  pagination: { page: 2, perPage: 20, hasNext: true, hasPrev: true, total: 150, totalPages: 8, ...fields },
})

describe('linkHeader of a numbered page', () => {
  it('has first, prev, next and last, and keeps the other parameters', () => {
    expect(linkHeader(numbered({}), 'https://api.example/users?role=admin&page=2&per_page=20')).toBe(
      [
        '<https://api.example/users?role=admin&page=1&per_page=20>; rel="first"',
        '<https://api.example/users?role=admin&page=1&per_page=20>; rel="prev"',
        '<https://api.example/users?role=admin&page=3&per_page=20>; rel="next"',
        '<https://api.example/users?role=admin&page=8&per_page=20>; rel="last"',
      ].join(', '),
    )
  })

  it('reads pages in snake case', () => {
    const page = { pagination: { page: 1, per_page: 20, has_next: true, has_prev: false, total: 30, total_pages: 2 } }
    expect(parse(linkHeader(page, '/users'))).toEqual({
      first: '/users?page=1',
      next: '/users?page=2',
      last: '/users?page=2',
    })
  })

  it('has no prev on the first page and no next on the last', () => {
    const first = numbered({ page: 1, hasPrev: false })
    expect(Object.keys(parse(linkHeader(first, '/')))).toEqual(['first', 'next', 'last'])
    const last = numbered({ page: 8, hasNext: false })
    expect(Object.keys(parse(linkHeader(last, '/')))).toEqual(['first', 'prev', 'last'])
  })

  it('leads back from beyond the end to the last page', () => {
    expect(parse(linkHeader(numbered({ page: 20, hasNext: false }), '/')).prev).toBe('/?page=8')
  })

  it('has an empty list end on its first page', () => {
    const empty = numbered({ page: 1, hasNext: false, hasPrev: false, total: 0, totalPages: 0 })
    expect(parse(linkHeader(empty, '/'))).toEqual({ first: '/?page=1', last: '/?page=1' })
  })

  it('has no last where the end was not counted', () => {
    const uncounted = { pagination: { page: 2, perPage: 20, hasNext: true, hasPrev: true } }
    for (const page of [uncounted, numbered({ totalIs: 'capped' }), numbered({ totalIs: 'estimate' })]) {
      expect(Object.keys(parse(linkHeader(page, '/')))).toEqual(['first', 'prev', 'next'])
    }
    const snake = { pagination: { page: 1, has_next: true, has_prev: false, total_pages: 4, total_is: 'capped' } }
    expect(Object.keys(parse(linkHeader(snake, '/')))).toEqual(['first', 'next'])
    expect(parse(linkHeader(numbered({ totalIs: 'exact' }), '/')).last).toBe('/?page=8')
  })
})

describe('linkHeader of a page with cursors', () => {
  it('has first, prev and next, and never a last', () => {
    const page = {
      pagination: { perPage: 20, hasNext: true, hasPrev: true, next: 'N-_', prev: 'P', total: 9, totalPages: 1 },
    }
    expect(parse(linkHeader(page, '/users?after=X&sort=-name'))).toEqual({
      first: '/users?sort=-name',
      prev: '/users?sort=-name&before=P',
      next: '/users?after=N-_&sort=-name',
    })
  })

  it('has the first alone when nothing stands on either side', () => {
    const page = { pagination: { per_page: 20, has_next: false, has_prev: false, next: null, prev: null } }
    expect(linkHeader(page, '/users?before=X')).toBe('</users>; rel="first"')
  })
})

describe('the URL', () => {
  const page = numbered({ page: 1, hasPrev: false, hasNext: false, totalPages: 1 })
  const first = (url: string | URL) => parse(linkHeader(page, url)).first

  it('may be a URL, a path, a query or nothing', () => {
    expect(first(new URL('https://api.example/users?x=1#top'))).toBe('https://api.example/users?x=1&page=1')
    expect(first('/users#top?x')).toBe('/users?page=1')
    expect(first('users')).toBe('users?page=1')
    expect(first('?x=1')).toBe('?x=1&page=1')
    expect(first('')).toBe('?page=1')
  })

  it('keeps repeated parameters, and names the page once', () => {
    expect(first('/?tags=a&page=3&tags=b&page=4')).toBe('/?tags=a&page=1&tags=b')
  })

  it('cannot end the link or the header', () => {
    expect(first('/a>; rel="next", <https://evil.example>?q="<>\r\nX: y')).toBe(
      '/a%3E;%20rel=%22next%22,%20%3Chttps://evil.example%3E?q=%22%3C%3E%0D%0AX%3A+y&page=1',
    )
    expect(first('/naïve/\ud800')).toBe('/na%C3%AFve/%EF%BF%BD?page=1')
  })

  it('gives one well-formed link a relation, whatever it holds', () => {
    const pages = [page, { pagination: { next: 'a', prev: 'b' } }]
    fc.assert(
      fc.property(
        fc.string({ unit: character }).filter((url) => !url.includes(', ')),
        fc.constantFrom(...pages),
        (url, any) => {
          const header = linkHeader(any, url)
          expect(() => new Headers({ link: header })).not.toThrow()
          expect(header.match(/; rel="/g)?.length).toBe(Object.keys(parse(header)).length)
        },
      ),
    )
  })

  it('is one that a list query reads back', () => {
    const query = listQuery({ unknown: 'reject' })
    const link = parse(linkHeader(numbered({}), '/users?per_page=7&page=2')).next as string
    expect(query.parse(link)).toMatchObject({ page: 3, perPage: 7 })
    const cursors = { pagination: { next: 'a_-', prev: null } }
    expect(query.parse(parse(linkHeader(cursors, '/users?page=1')).next)).toMatchObject({ after: 'a_-' })
  })
})
