import { describeValue } from '../shared/assertions.ts'
import type { Call } from './call.ts'
import type { Key } from './key.ts'
import type { Cache, GetOrSetOptions, WrapOptions, Wrapped } from './types.ts'

type Answer = (key: Key, load: () => unknown, options: GetOrSetOptions, tagsOf: Call['tagsOf']) => Promise<unknown>

/** The same function, cached: see `Cache.wrap`. */
export function wrap<Args extends readonly unknown[], Result>(
  cache: Pick<Cache, 'peek' | 'delete'>,
  answer: Answer,
  fn: (...args: Args) => Result,
  { name, key, tags, ...rest }: WrapOptions<Args, Awaited<Result>>,
): Wrapped<Args, Awaited<Result>> {
  if (typeof fn !== 'function') throw new TypeError(`Expected \`fn\` to be a function, got ${describeValue(fn)}`)
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`Expected \`name\` to be a text, got ${describeValue(name)}`)
  }
  const options: GetOrSetOptions = typeof tags === 'function' ? rest : { ...rest, tags }
  const freshOptions: GetOrSetOptions = { ...options, fresh: true }

  function keyOf(...args: Args): Key {
    return [name, key === undefined ? args : key(...args)]
  }
  function run(args: Args, how: GetOrSetOptions): Promise<Awaited<Result>> {
    const tagsOf = typeof tags === 'function' ? (result: unknown) => tags(args, result as Awaited<Result>) : undefined
    return answer(keyOf(...args), () => fn(...args), how, tagsOf) as Promise<Awaited<Result>>
  }
  return Object.assign((...args: Args) => run(args, options), {
    fresh: (...args: Args) => run(args, freshOptions),
    peek: (...args: Args) => cache.peek<Awaited<Result>>(keyOf(...args)),
    invalidate: (...args: Args) => cache.delete(keyOf(...args)),
    keyOf,
  })
}
