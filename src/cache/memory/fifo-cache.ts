/** An object's place in a {@link FifoCache}. An object is in at most one. */
export class FifoNode {
  /** Reads since it came to the end of its queue, at most 3. */
  hits = 0
  key = ''
  size = 0
  queue: Queue | undefined
  previous: FifoNode | undefined
  next: FifoNode | undefined
}

interface FifoCacheOptions<Node extends FifoNode> {
  readonly maxEntries: number
  readonly maxBytes: number
  /** Whether an entry can never be served again. Such entries leave before all others. */
  readonly isDead: (node: Node) => boolean
}

const mostHits = 3
/** The small queue takes a tenth of the room, and no entry may be larger than that. */
const smallShare = 10

/**
 * A map that is bounded by entries and by bytes, and evicts by S3-FIFO. New entries join a small queue. At its end, those that were
 * read join the main queue, and the others leave, which keeps the entries of a scan from pushing out what is in use. At the end
 * of the main queue, entries that were read go around once more. A hit moves nothing: it raises a counter.
 *
 * Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023. There an entry must be read twice to join the main
 * queue. Once is better for small caches on the recorded traffic that we measure with, see `bench/cache-eviction.ts`.
 */
export class FifoCache<Node extends FifoNode> {
  evictions = 0
  readonly #options: FifoCacheOptions<Node>
  readonly #nodes = new Map<string, Node>()
  readonly #small = new Queue()
  readonly #main = new Queue()
  readonly #ghosts = new Ghosts()

  constructor(options: FifoCacheOptions<Node>) {
    this.#options = options
  }

  get entries(): number {
    return this.#nodes.size
  }

  get bytes(): number {
    return this.#small.bytes + this.#main.bytes
  }

  get(key: string): Node | undefined {
    return this.#nodes.get(key)
  }

  /** Adds an entry, or puts it in the place of another. One that is larger than a tenth of all bytes is not kept. */
  set(key: string, node: Node, size: number): void {
    const { maxEntries, maxBytes } = this.#options
    const present = this.#nodes.get(key)
    if (size * smallShare > maxBytes) {
      this.delete(key)
      return
    }
    node.key = key
    if (present !== undefined) {
      const queue = present.queue as Queue
      queue.remove(present)
      node.size = size
      node.hits = Math.min(mostHits, present.hits + 1)
      queue.add(node)
      this.#nodes.set(key, node)
      while (this.bytes > maxBytes) this.#evict(true)
      return
    }
    while (this.bytes + size > maxBytes) this.#evict(true)
    while (this.entries >= maxEntries) this.#evict(false)
    node.size = size
    const queue = this.#ghosts.take(key) ? this.#main : this.#small
    queue.add(node)
    this.#nodes.set(key, node)
  }

  delete(key: string): void {
    const node = this.#nodes.get(key)
    if (node !== undefined) this.#remove(node)
  }

  clear(): void {
    this.#nodes.clear()
    this.#small.clear()
    this.#main.clear()
    this.#ghosts.clear()
  }

  /** @param isByBytes - whether there is no room for the bytes, rather than for one more entry */
  #evict(isByBytes: boolean): void {
    this.evictions++
    const { maxEntries, maxBytes, isDead } = this.#options
    for (const { first } of [this.#main, this.#small]) {
      if (first === undefined || !isDead(first as Node)) continue
      this.#remove(first as Node)
      return
    }
    const isSmallFull = isByBytes
      ? this.#small.bytes * smallShare >= maxBytes
      : this.#small.count * smallShare >= maxEntries
    if ((isSmallFull || this.#main.count === 0) && this.#evictFromSmall()) return
    if (!this.#evictFromMain()) this.#evictFromSmall()
  }

  /** False when all entries of the queue were read, and have joined the main queue. */
  #evictFromSmall(): boolean {
    for (let node = this.#small.first; node !== undefined; node = this.#small.first) {
      if (node.hits === 0 || this.#options.isDead(node as Node)) {
        this.#remove(node as Node)
        this.#ghosts.add(node.key, this.entries)
        return true
      }
      node.hits = 0
      this.#small.remove(node)
      this.#main.add(node)
    }
    return false
  }

  #evictFromMain(): boolean {
    for (let node = this.#main.first; node !== undefined; node = this.#main.first) {
      if (node.hits === 0 || this.#options.isDead(node as Node)) {
        this.#remove(node as Node)
        return true
      }
      node.hits--
      this.#main.remove(node)
      this.#main.add(node)
    }
    return false
  }

  #remove(node: Node): void {
    this.#nodes.delete(node.key)
    node.queue?.remove(node)
  }
}

/** Counts a read of an entry. */
export function countHit(node: FifoNode): void {
  if (node.hits < mostHits) node.hits++
}

/** A list that is linked through its nodes, so that a node is removed without a search. */
class Queue {
  first: FifoNode | undefined
  last: FifoNode | undefined
  count = 0
  bytes = 0

  add(node: FifoNode): void {
    node.queue = this
    node.previous = this.last
    node.next = undefined
    if (this.last === undefined) this.first = node
    else this.last.next = node
    this.last = node
    this.count++
    this.bytes += node.size
  }

  remove(node: FifoNode): void {
    const { previous, next } = node
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next === undefined) this.last = previous
    else next.previous = previous
    node.queue = undefined
    node.previous = undefined
    node.next = undefined
    this.count--
    this.bytes -= node.size
  }

  clear(): void {
    this.first = undefined
    this.last = undefined
    this.count = 0
    this.bytes = 0
  }
}

/**
 * Keys that left the small queue lately: about as many as there are entries. One that comes back joins the main queue at once.
 * Two sets, of which the older is dropped, because a set's first element is found slowly once many were deleted before it.
 */
class Ghosts {
  #recent = new Set<string>()
  #older = new Set<string>()

  add(key: string, entries: number): void {
    this.#recent.add(key)
    if (this.#recent.size * 2 < entries) return
    this.#older = this.#recent
    this.#recent = new Set()
  }

  take(key: string): boolean {
    return this.#recent.delete(key) || this.#older.delete(key)
  }

  clear(): void {
    this.#recent.clear()
    this.#older.clear()
  }
}
