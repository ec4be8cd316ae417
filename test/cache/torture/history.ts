/** A value that says which load made it. */
export interface LoadedValue {
  readonly load: number
}

interface Load {
  readonly begun: number
  readonly begunAt: number
}

interface Invalidation {
  readonly process: string
  readonly tag: string
  /** Places in the order of events, and times in milliseconds. */
  readonly called: number
  readonly calledAt: number
  resolved: number
  resolvedAt: number
}

interface Read {
  readonly process: string
  readonly key: string
  readonly started: number
  readonly startedAt: number
  readonly load: number
}

/**
 * What happened in what order, to be held against the promise: no read in the invalidating process that starts after the
 * invalidation resolved, and none in another later than `withinMs` after it, returns a value whose load began before it.
 */
export class History {
  readonly #loads = new Map<number, Load>()
  readonly #invalidations: Invalidation[] = []
  readonly #reads: Read[] = []
  readonly #tagsOf: (key: string) => readonly string[]
  #events = 0
  #lastLoad = 0

  constructor(tagsOf: (key: string) => readonly string[]) {
    this.#tagsOf = tagsOf
  }

  get reads(): number {
    return this.#reads.length
  }

  /** A load begins; its value. */
  load(): LoadedValue {
    const load = ++this.#lastLoad
    this.#loads.set(load, { begun: ++this.#events, begunAt: performance.now() })
    return { load }
  }

  async read(process: string, key: string, get: () => Promise<LoadedValue>): Promise<void> {
    const read = { process, key, started: ++this.#events, startedAt: performance.now() }
    const { load } = await get()
    this.#reads.push({ ...read, load })
  }

  /** Counts only if the invalidation says that it reached everybody. */
  async invalidate(process: string, tag: string, invalidate: () => Promise<boolean>): Promise<void> {
    const called = { process, tag, called: ++this.#events, calledAt: performance.now() }
    if (await invalidate()) {
      this.#invalidations.push({ ...called, resolved: ++this.#events, resolvedAt: performance.now() })
    }
  }

  /** Every read that broke the promise, in words. */
  violations(withinMs: number): string[] {
    return this.#reads.flatMap((read) => {
      const load = this.#loads.get(read.load) as Load
      const broken = this.#invalidations.find((invalidation) => {
        if (!this.#tagsOf(read.key).includes(invalidation.tag) || load.begun > invalidation.called) return false
        return invalidation.process === read.process
          ? read.started > invalidation.resolved
          : read.startedAt > invalidation.resolvedAt + withinMs
      })
      return broken === undefined ? [] : [describe(read, broken, load)]
    })
  }
}

function describe(read: Read, invalidation: Invalidation, load: Load): string {
  const ms = (from: number, to: number) => `${(to - from).toFixed(1)} ms`
  return (
    `${read.process} read ${read.key} ${ms(invalidation.resolvedAt, read.startedAt)} after ${invalidation.process} had ` +
    `invalidated ${invalidation.tag}, and got a value whose load began ${ms(load.begunAt, invalidation.calledAt)} before`
  )
}
