import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RequestClasses } from '../../../src/http/admission/request-classes.ts'

function makeClasses() {
  const clock = { time: 0, now: () => clock.time, loopMs: () => 10, onLeave: () => {} }
  return { classes: new RequestClasses(clock), clock }
}

/** The shape of a path in one line: what the classes are told apart by. */
const shapeOf = (path: string) =>
  path
    .split('/')
    .map((part) => (/\d/.test(part) ? ':' : part))
    .join('/')

const part = fc.string({ unit: fc.constantFrom('a', 'b', '1', '-', '.'), minLength: 0, maxLength: 4 })
const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`)
const query = fc.constantFrom('', '?', '?page=1', '?/a/1')
const method = fc.constantFrom('GET', 'POST')

describe('the classes of requests', () => {
  it('are those of the method and the shape of the path, whatever the query', () => {
    const request = fc.record({ method, path, query })
    fc.assert(
      fc.property(request, request, (one, other) => {
        const { classes } = makeClasses()
        const isSame = one.method === other.method && shapeOf(one.path) === shapeOf(other.path)
        const first = classes.find(one.method, one.path + one.query)
        expect(classes.find(other.method, other.path + other.query) === first).toBe(isSame)
        expect(first.target).toBe(`${one.method} ${shapeOf(one.path)}`)
      }),
    )
  })

  it('share one limit when they are many and seldom, and keep those that come often', () => {
    const { classes, clock } = makeClasses()
    for (let number = 0; number < 2_000; number++) {
      clock.time += 10
      classes.find('GET', `/name-${'abcdefghij'[number % 10]}${'x'.repeat(Math.floor(number / 10))}`)
    }
    const often = Array.from({ length: 30 }, () => classes.find('GET', '/often')).at(-1)
    expect(often?.target).toBe('GET /often')
    expect(classes.find('GET', '/never-seen').target).toBe('(others)')
    expect([...classes.all()].length).toBeLessThanOrEqual(65)
  })

  it('are removed for new ones only when nothing is lost', () => {
    const { classes } = makeClasses()
    const first = classes.find('GET', '/first')
    first.enter(0)
    for (let name = 0; name < 200; name++) {
      for (let count = 0; count < 20; count++) classes.find('GET', `/${'ab'.repeat(name + 1)}`)
    }
    expect(classes.find('GET', '/first')).toBe(first)
    expect([...classes.all()].length).toBeLessThanOrEqual(65)
  })
})
