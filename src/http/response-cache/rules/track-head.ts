import { fieldsOf } from './answer-head.ts'
import type { HandlerAnswer } from './answer-rules.ts'

type Headers = Readonly<Record<string, unknown>>

/**
 * Notes which headers are set and removed from now on. Middleware around the cache sets all others anew for each request, so
 * they must not be stored. Comparing values would not tell who has set a header.
 *
 * @param methods - the methods of the response that set or remove a header
 * @param before - the headers until now
 * @returns a function that takes the headers of the answer and returns what was done to them
 */
export function trackHead(
  response: object,
  methods: readonly string[],
  before: Headers,
): (headers: Headers) => Pick<HandlerAnswer, 'headers' | 'own' | 'removed'> {
  const touched = new Set<string>()
  for (const method of methods) {
    const original = (response as Record<string, (name: string, ...rest: unknown[]) => unknown>)[method]!
    const track = function (this: object, name: string, ...rest: unknown[]) {
      touched.add(String(name).toLowerCase())
      return original.call(this, name, ...rest)
    }
    Object.defineProperty(response, method, { value: track, configurable: true, writable: true })
  }
  return (headers) => {
    for (const [name, value] of Object.entries(headers)) if (before[name] !== value) touched.add(name)
    const removed = [...touched].filter((name) => headers[name] === undefined)
    return { headers: fieldsOf(headers), own: new Set(touched), removed }
  }
}
