/** The most keys that one command reads or writes. A script of more would keep other callers of the server waiting. */
const maxKeysAtOnce = 250
/** The most bytes that one command writes, unless a single value has more. */
const maxBytesAtOnce = 1024 * 1024

interface BatchOptions<Item, Result> {
  /** Sends one group. Resolves to a result for each item, or to `undefined` when the store does not answer. */
  readonly send: (items: readonly Item[]) => Promise<readonly Result[] | undefined>
  readonly bytesOf?: (item: Item) => number
}

/** Collects what is asked for in one turn of the event loop, and sends it in groups of bounded size. */
export class Batch<Item, Result> {
  readonly #options: BatchOptions<Item, Result>
  #waiting: { readonly item: Item; readonly resolve: (result: Promise<Result | undefined>) => void }[] = []

  constructor(options: BatchOptions<Item, Result>) {
    this.#options = options
  }

  add(item: Item): Promise<Result | undefined> {
    return new Promise((resolve) => {
      this.#waiting.push({ item, resolve })
      if (this.#waiting.length === 1) process.nextTick(() => this.#send())
    })
  }

  #send(): void {
    const { send } = this.#options
    const waiting = this.#waiting
    this.#waiting = []
    for (let first = 0; first < waiting.length; ) {
      const end = this.#endOfGroup(waiting, first)
      const group = waiting.slice(first, end)
      const results = send(group.map(({ item }) => item))
      for (const [index, { resolve }] of group.entries()) resolve(results.then((all) => all?.[index]))
      first = end
    }
  }

  #endOfGroup(waiting: readonly { readonly item: Item }[], first: number): number {
    const { bytesOf = () => 0 } = this.#options
    let end = first
    for (let bytes = 0; end < waiting.length && end - first < maxKeysAtOnce; end++) {
      bytes += bytesOf((waiting[end] as { readonly item: Item }).item)
      if (bytes > maxBytesAtOnce && end > first) break
    }
    return end
  }
}
