import { describeValue } from '../shared/assertions.ts'
import { type Call, NoValueError } from './call.ts'
import type { Engine } from './engine.ts'
import { GatheredLoads, type LoadMany } from './gathered-loads.ts'
import { encodeKey } from './key.ts'
import { resolveCall } from './resolve-call.ts'
import type { GetOrSetManyOptions } from './types.ts'

/** A value for each id: see `Cache.getOrSetMany`. Each id is searched for like a single one; reads and loads are joined. */
export async function getOrSetMany<Id, Value>(
  engine: Engine,
  ids: Iterable<Id>,
  load: LoadMany<Id, Value>,
  options: GetOrSetManyOptions<Id, Value>,
): Promise<Map<Id, Value>> {
  const { key, tags, ...rest } = options
  if (typeof load !== 'function') throw new TypeError(`Expected \`load\` to be a function, got ${describeValue(load)}`)
  if (typeof key !== 'function') throw new TypeError(`Expected \`key\` to be a function, got ${describeValue(key)}`)
  const distinct = [...new Set(ids)]
  const loads = new GatheredLoads(load, distinct)
  const calls = distinct.map((id) => {
    const one: Call['load'] = ({ signal }) => loads.load(id, signal)
    const tagsOf = tags && ((value: unknown) => tags(id, value as Value))
    return resolveCall(engine.parts.settings, encodeKey(key(id)), one, rest, { tagsOf, isPartOfMany: true })
  })
  const answers = calls.map((call, index) => engine.answer(call).finally(() => loads.decided(distinct[index] as Id)))
  const values = new Map<Id, Value>()
  for (const [index, outcome] of (await Promise.allSettled(answers)).entries()) {
    if (outcome.status === 'fulfilled') values.set(distinct[index] as Id, outcome.value as Value)
    else if (!(outcome.reason instanceof NoValueError)) throw outcome.reason
  }
  return values
}
