import { describeValue } from '../shared/assertions.ts'
import { NoValueError } from './call.ts'
import type { LoadManyContext } from './types.ts'

/** Loads the values of several ids at once; ids without a value are left out of the map. */
export type LoadMany<Id, Value> = (
  missing: readonly Id[],
  ctx: LoadManyContext,
) => ReadonlyMap<Id, Value> | PromiseLike<ReadonlyMap<Id, Value>>

interface Waiting<Value> {
  readonly resolve: (value: Promise<Value>) => void
  readonly signal: AbortSignal
}

/** How long ids known to be missing wait for others that the store is slow about, or that another process loads. */
const gatherMs = 5

/** Joins the loads of single ids into one, begun once it is known of every id whether it must be loaded. */
export class GatheredLoads<Id, Value> {
  readonly #load: LoadMany<Id, Value>
  readonly #undecided: Set<Id>
  #waiting = new Map<Id, Waiting<Value>>()
  #timer: NodeJS.Timeout | undefined

  constructor(load: LoadMany<Id, Value>, ids: Iterable<Id>) {
    this.#load = load
    this.#undecided = new Set(ids)
  }

  /** The value of an id that must be loaded. */
  load(id: Id, signal: AbortSignal): Promise<Value> {
    return new Promise((resolve) => {
      this.#waiting.set(id, { resolve, signal })
      this.#timer ??= setTimeout(() => this.#run(), gatherMs)
      this.decided(id)
    })
  }

  /** It is known of the id whether it must be loaded. */
  decided(id: Id): void {
    if (this.#undecided.delete(id) && this.#undecided.size === 0) this.#run()
  }

  #run(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const waiting = this.#waiting
    this.#waiting = new Map()
    if (waiting.size === 0) return
    const signal = whenAll([...waiting.values()].map((one) => one.signal))
    const values = (async () => this.#load([...waiting.keys()], { signal }))()
    for (const [id, { resolve }] of waiting) resolve(values.then((found) => pick(found, id)))
  }
}

function pick<Id, Value>(values: ReadonlyMap<Id, Value>, id: Id): Value {
  if (!(values instanceof Map)) throw new TypeError(`Expected \`load\` to return a Map, got ${describeValue(values)}`)
  if (!values.has(id)) throw new NoValueError('`load` returned no value for a key')
  return values.get(id) as Value
}

/** Aborted once all of the signals are. */
function whenAll(signals: readonly AbortSignal[]): AbortSignal {
  const controller = new AbortController()
  let left = signals.length
  for (const signal of signals) {
    signal.addEventListener('abort', () => --left === 0 && controller.abort(signal.reason), { once: true })
  }
  return controller.signal
}
