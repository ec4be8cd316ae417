import type { Cache, GetOrSetOptions, LoadContext } from 'posthaste'
import { pick } from '../../scope/support/random.ts'
import { gate, until } from '../support.ts'

const keys = ['a', 'b', 'c'] as const
type Key = (typeof keys)[number]

export const ttlMs = 30_000
export const staleMs = 20_000

/** How a load ends. All but `value` and `error` store nothing; `none` calls `skip`, or leaves the key out of the map. */
const outcomes = ['value', 'value', 'value', 'error', 'none', 'null', 'instance'] as const
type Outcome = (typeof outcomes)[number]

class Instance {
  readonly load: number
  constructor(load: number) {
    this.load = load
  }
}

/** Places in the order of events, and times of the cache's clock. */
interface Load {
  readonly id: number
  readonly key: Key
  readonly begun: number
  /** When the cache was asked for it: the load of many begins later, when all reads are done. */
  readonly asked: number
  /** The load whose value it was given by another cached value. */
  readonly inner?: number | undefined
  ended?: number
  endedAt?: number
  outcome?: Outcome
  isOvertaken?: boolean
}

type Beginning = Pick<Load, 'begun' | 'asked' | 'inner'>

interface Change {
  readonly tags: readonly string[]
  readonly isSoft: boolean
  readonly at: number
  readonly called: number
  resolved: number
}

interface Read {
  readonly name: string
  readonly key: Key
  readonly started: number
  readonly startedAt: number
  settled?: { readonly value: unknown } | { readonly error: unknown }
}

interface Pending {
  end(outcome: Outcome): void
}

export interface HistoryOptions {
  readonly cache: Cache<string, string>
  readonly random: () => number
  /** Moves the cache's clock, if it has one that can be moved. */
  readonly pass?: ((ms: number) => void) | undefined
  readonly now: () => number
  /** Waits until everything that was begun has taken effect. */
  readonly settle: () => Promise<void>
}

const tagsOf = (key: Key) => [`tag-${key}`, 'all']

/**
 * Reads, loads, renewals, omissions, nested values, invalidations and time in a random order. Each value says which load made
 * it, so every read can be held to what the documentation promises.
 */
export class RandomHistory {
  readonly violations: string[] = []
  readonly #options: HistoryOptions
  readonly #loads: Load[] = []
  readonly #changes: Change[] = []
  readonly #pending = new Set<Pending>()
  readonly #reads: Read[] = []
  readonly #steps: string[] = []
  #events = 0

  constructor(options: HistoryOptions) {
    this.#options = options
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      await this.#step()
      await this.#options.settle()
    }
    await until(async () => {
      for (const pending of this.#pending) pending.end('value')
      await this.#options.settle()
      return this.#reads.every(({ settled }) => settled !== undefined)
    })
  }

  async #step(): Promise<void> {
    const { random, pass } = this.#options
    const key = pick(keys, random)
    const step = random()
    if (step < 0.3) await this.#readPlainly(key)
    else if (step < 0.38) this.#read('fresh', key, { fresh: true })
    else if (step < 0.46) this.#readMany()
    else if (step < 0.56) this.#readOuter(key)
    else if (step < 0.8) this.#endLoad()
    else if (step < 0.9) await this.#invalidate(key)
    else pass?.(pick([500, 4_000, 9_000, 21_000], random))
  }

  #endLoad(): void {
    const pending = pick([...this.#pending], this.#options.random)
    if (this.#pending.size > 0) pending.end(pick(outcomes, this.#options.random))
  }

  async #readPlainly(key: Key): Promise<void> {
    const isServable = this.#isServable(key)
    const read = this.#read('read', key, {})
    await this.#options.settle()
    const { settled } = read
    if (isServable && settled === undefined) this.#report(read, 'waited, although there was a value to serve')
    if (isServable && settled !== undefined && 'error' in settled) this.#report(read, 'failed instead of being served')
  }

  #read(name: string, key: Key, options: GetOrSetOptions): Read {
    const { cache } = this.#options
    const load = (ctx: LoadContext) => this.#loadOne(key, ctx)
    return this.#watch({ name, key }, () =>
      cache.getOrSet(key, load, { profile: 'random', tags: tagsOf(key), ...options }),
    )
  }

  #readMany(): void {
    const { cache, random } = this.#options
    const fresh = random() < 0.3
    const make = (outcome: Outcome, loads: readonly Load[]) =>
      new Map(outcome === 'none' ? [] : loads.map((made) => [made.key, resultOf(outcome, made)]))
    let asked = 0
    const load = (ids: readonly Key[]) => this.#load(ids, make, { begun: ++this.#events, asked })
    const options = { key: (key: Key) => key, tags: tagsOf, profile: 'random', fresh }
    const answer = cache.getOrSetMany<Key, unknown>(keys, load as never, options)
    for (const key of keys) {
      this.#watch({ name: 'many', key }, async () => {
        const values = await answer
        return values.has(key) ? values.get(key) : absent
      })
    }
    asked = ++this.#events
  }

  /** A value that is made from a cached value, whose tags it takes over. */
  #readOuter(key: Key): void {
    const { cache } = this.#options
    const load = async (outer: LoadContext) => {
      const begun = ++this.#events
      const options = { profile: 'random', tags: tagsOf(key) }
      const inner = await cache.getOrSet(key, (ctx) => this.#loadOne(key, ctx), options)
      return this.#loadOne(key, outer, { begun, asked: begun, inner: loadOf(inner) })
    }
    this.#watch({ name: 'outer', key }, () => cache.getOrSet(['outer', key], load, { profile: 'random', tags: 'auto' }))
  }

  #loadOne(key: Key, ctx: LoadContext, about = this.#beginning()): Promise<unknown> {
    const make = (outcome: Outcome, [made]: readonly Load[]) => {
      if (outcome === 'none') ctx.skip()
      return resultOf(outcome, made as Load)
    }
    return this.#load([key], make, about)
  }

  #beginning(): Beginning {
    const begun = ++this.#events
    return { begun, asked: begun }
  }

  #load<Value>(
    of: readonly Key[],
    make: (outcome: Outcome, loads: readonly Load[]) => Value,
    about: Beginning,
  ): Promise<Value> {
    const loads = of.map((key, index): Load => ({ id: this.#loads.length + index, key, ...about }))
    this.#loads.push(...loads)
    const { promise, open } = gate()
    let outcome: Outcome = 'value'
    const pending: Pending = {
      end: (given) => {
        outcome = given
        this.#pending.delete(pending)
        const end = { ended: ++this.#events, endedAt: this.#options.now(), outcome }
        for (const load of loads) Object.assign(load, { ...end, isOvertaken: this.#isOvertaken(load) })
        this.#note(`load ${loads.map(({ id }) => id)} of ${of} ends: ${outcome}`)
        open()
      },
    }
    this.#note(
      `load ${loads.map(({ id }) => id)} of ${of} begins${about.inner === undefined ? '' : ` with ${about.inner}`}`,
    )
    this.#pending.add(pending)
    return promise.then(() => {
      if (outcome === 'error') throw new Error('the load failed')
      return make(outcome, loads)
    })
  }

  async #invalidate(key: Key): Promise<void> {
    const { cache, random, now } = this.#options
    const isSoft = random() < 0.7
    const tags = [pick([`tag-${key}`, `tag-${key}`, 'all'], random)]
    const called = ++this.#events
    this.#note(`${isSoft ? 'soft ' : ''}invalidation of ${tags}`)
    // What is called while it is under way may see either.
    const change = { tags, isSoft, at: now(), called, resolved: Number.POSITIVE_INFINITY }
    this.#changes.push(change)
    await cache.invalidateTags(tags[0] as string, { serveStale: isSoft })
    change.resolved = ++this.#events
  }

  /** Whether the load's value may not take the place of an older one. */
  #isOvertaken(load: Load): boolean {
    const isInvalidated = this.#changesOf(load.key).some(({ resolved }) => resolved > load.asked)
    const firstOwn = load.begun === load.asked ? load.asked : load.asked - keys.length
    const isAskedLater = this.#reads.some(({ name, key, started, settled }) => {
      if (key !== load.key || !(name === 'fresh' || name === 'many')) return false
      // One that has waited for another load may ask again, and its load begins later.
      return started > load.asked || (name === 'many' && settled === undefined && started < firstOwn)
    })
    const isLater = (other: Load) => other !== load && other.begun > load.asked
    return isInvalidated || isAskedLater || this.#loadsOf(load.key).some(isLater)
  }

  /** Without those of values that are made from the key's. */
  #loadsOf(key: Key): Load[] {
    return this.#loads.filter((load) => load.key === key && load.inner === undefined)
  }

  #changesOf(key: Key): Change[] {
    return this.#changes.filter(({ tags }) => tags.some((tag) => tagsOf(key).includes(tag)))
  }

  /** Whether a value is stored that may be served, be it stale. */
  #isServable(key: Key): boolean {
    const renewals = this.#loadsOf(key).filter(isSuccess)
    const latest = renewals.toSorted((a, b) => (a.ended as number) - (b.ended as number)).at(-1)
    if (latest === undefined || latest.outcome !== 'value' || latest.isOvertaken) return false
    // On Redis, a tag that the value named first may count as invalidated with any other.
    const isDuring = ({ called, resolved }: Change) => resolved > latest.asked && called < (latest.ended as number)
    if (this.#changes.some(isDuring)) return false
    const changes = this.#changesOf(key)
    const later = changes.filter(({ resolved }) => resolved > latest.begun)
    if (later.some(({ isSoft }) => !isSoft)) return false
    // Of more than these, some are remembered as earlier than they were.
    if (later.length > 0 && changes.length > 4) return false
    const until = Math.min((latest.endedAt as number) + ttlMs, ...later.map(({ at }) => at)) + staleMs
    return this.#options.now() < until
  }

  #watch(about: Pick<Read, 'name' | 'key'>, get: () => Promise<unknown>): Read {
    const read: Read = { ...about, started: ++this.#events, startedAt: this.#options.now() }
    this.#note(`${read.name} ${read.key} #${read.started}`)
    this.#reads.push(read)
    get().then(
      (value) => {
        read.settled = { value }
        this.#judge(read, value)
      },
      (error) => {
        read.settled = { error }
      },
    )
    return read
  }

  #judge(read: Read, value: unknown): void {
    if (value === absent) {
      this.#judgeOmission(read)
      return
    }
    const id = loadOf(value)
    const load = this.#loads[id]
    if (load === undefined) return
    this.#note(`${read.name} ${read.key} #${read.started} gets ${id}`)
    this.#judgeTags(read, load)
    this.#judgeAge(read, load)
    const inner = this.#loads[load.inner ?? -1]
    // A value that was made from another is as old as that one. It may be joined while it is made.
    if (inner !== undefined && (load.ended as number) < read.started) this.#judgeTags(read, inner)
  }

  #judgeTags(read: Read, load: Load): void {
    for (const { called, resolved, isSoft, at } of this.#changesOf(load.key)) {
      if (load.begun > called || resolved > read.started) continue
      if (!isSoft) this.#report(read, `got load ${load.id}, which was invalidated`)
      else if (read.startedAt >= at + staleMs) this.#report(read, `got load ${load.id}, stale for too long`)
    }
  }

  #judgeAge(read: Read, load: Load): void {
    if (read.startedAt >= (load.endedAt as number) + ttlMs + staleMs) {
      this.#report(read, `got load ${load.id}, which is too old`)
    }
    if (load.inner !== undefined) return
    const later = this.#loadsOf(load.key).find((other) => {
      const isRenewal = isSuccess(other) && !other.isOvertaken && other.begun > load.begun
      return isRenewal && (other.ended as number) < read.started
    })
    if (later !== undefined) this.#report(read, `got load ${load.id}, although load ${later.id} had ended`)
  }

  #judgeOmission(read: Read): void {
    const isProven = this.#loads.some(({ key, outcome, ended, begun }) => {
      if (key !== read.key || outcome !== 'none' || (ended as number) < read.started) return false
      return !this.#changesOf(key).some(({ called, resolved }) => begun < called && resolved < read.started)
    })
    if (!isProven) this.#report(read, 'was left out, by a load from before an invalidation')
  }

  #note(step: string): void {
    this.#steps.push(`${this.#options.now()}: ${step}`)
  }

  #report({ name, key, started }: Read, fault: string): void {
    this.violations.push([`${name} ${key} #${started} ${fault}`, ...this.#steps.slice(-40)].join('\n  '))
  }
}

const absent = Symbol('left out')

function isSuccess({ outcome }: Load): boolean {
  return outcome !== undefined && outcome !== 'error'
}

function resultOf(outcome: Outcome, { id }: Load): unknown {
  if (outcome === 'null') return null
  return outcome === 'value' ? { load: id } : new Instance(id)
}

function loadOf(value: unknown): number {
  return (value as { load?: number } | null)?.load ?? -1
}
