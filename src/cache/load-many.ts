import { describeValue } from '../shared/arguments.ts'
import { Abandonable } from '../shared/scope/abandonable.ts'
import { runWork } from '../shared/scope/work.ts'
import { type Call, expectMany, resolveCall } from './call-options.ts'
import type { Engine } from './engine.ts'
import { encodeKey } from './key.ts'
import type { CacheSettings } from './options.ts'
import { NoValueError } from './shared-load.ts'
import { afterPoll } from './store/limits.ts'
import type { GetOrSetManyOptions, LoadManyContext } from './types.ts'

/** Loads the values of several ids at once. Ids without a value are left out of the map. */
export type LoadMany<Id, Value> = (
  missing: readonly Id[],
  ctx: LoadManyContext,
) => ReadonlyMap<Id, Value> | PromiseLike<ReadonlyMap<Id, Value>>

/** See `Cache.getOrSetMany`. Each id is read as if it were asked for alone; reads and loads are combined. */
export async function getOrSetMany<Id, Value>(
  engine: Engine,
  settings: CacheSettings,
  ids: Iterable<Id>,
  load: LoadMany<Id, Value>,
  options: GetOrSetManyOptions<Id, Value>,
): Promise<Map<Id, Value>> {
  expectMany(ids, load, options)
  const { key, tags, ...rest } = options
  const distinct = [...new Set(ids)]
  const loader = new BatchedLoader(load, distinct)
  const calls = distinct.map((id) => {
    const loadOne: Call['load'] = ({ signal }) => loader.load(id, signal)
    const tagsOf = tags && ((value: unknown) => tags(id, value as Value))
    return resolveCall(settings, encodeKey(key(id)), loadOne, rest, { tagsOf, isPartOfMany: true })
  })
  const answers = calls.map((call, index) => engine.answer(call).finally(() => loader.decide(distinct[index] as Id)))
  const values = new Map<Id, Value>()
  for (const [index, result] of (await Promise.allSettled(answers)).entries()) {
    if (result.status === 'fulfilled') values.set(distinct[index] as Id, result.value as Value)
    else if (!(result.reason instanceof NoValueError)) throw result.reason
  }
  return values
}

interface Waiter<Value> {
  readonly resolve: (value: Promise<Value>) => void
  readonly signal: AbortSignal
}

/**
 * How long ids that must be loaded wait for the next answer about another id. Reads may be slow, or wait for another process
 * that loads.
 */
const maxWaitMs = 5

/** Combines the loads of single ids into one, which begins once it is known for every id whether it must be loaded. */
class BatchedLoader<Id, Value> {
  readonly #load: LoadMany<Id, Value>
  readonly #undecided: Set<Id>
  #waiters = new Map<Id, Waiter<Value>>()
  #timer: NodeJS.Timeout | undefined

  constructor(load: LoadMany<Id, Value>, ids: Iterable<Id>) {
    this.#load = load
    this.#undecided = new Set(ids)
  }

  /** The value of an id that must be loaded. */
  load(id: Id, signal: AbortSignal): Promise<Value> {
    return new Promise((resolve) => {
      this.#waiters.set(id, { resolve, signal })
      this.#timer ??= setTimeout(() => this.#runIfIdle(), maxWaitMs)
      this.decide(id)
    })
  }

  /** Called once it is known whether the id must be loaded. */
  decide(id: Id): void {
    if (!this.#undecided.delete(id)) return
    if (this.#undecided.size === 0) this.#run()
  }

  /** Runs, unless answers about other ids are still coming in. */
  #runIfIdle(): void {
    const before = this.#undecided.size
    afterPoll(() => {
      if (this.#undecided.size === before) this.#run()
      else this.#timer = setTimeout(() => this.#runIfIdle(), maxWaitMs)
    })
  }

  #run(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    // The callers of aborted ids have been rejected already.
    const waiters = new Map([...this.#waiters].filter(([, { signal }]) => !signal.aborted))
    this.#waiters = new Map()
    if (waiters.size === 0) return
    const owner = whenAllAborted([...waiters.values()].map((waiter) => waiter.signal))
    const load = async () => this.#load([...waiters.keys()], { signal: owner.signal })
    // With an owner of its own: as work of the first key, the load would end with the callers of that key.
    const values = runWork({ owner }, load)
    for (const [id, { resolve }] of waiters) resolve(values.then((all) => pick(all, id)))
  }
}

function pick<Id, Value>(values: ReadonlyMap<Id, Value>, id: Id): Value {
  if (!(values instanceof Map)) throw new TypeError(`Expected \`load\` to return a Map, got ${describeValue(values)}`)
  if (!values.has(id)) throw new NoValueError()
  return values.get(id) as Value
}

function whenAllAborted(signals: readonly AbortSignal[]): Abandonable {
  const owner = new Abandonable()
  let left = signals.length
  for (const signal of signals) {
    signal.addEventListener('abort', () => --left === 0 && owner.abandon(signal.reason), { once: true })
  }
  return owner
}
