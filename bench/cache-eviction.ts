import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { LRUCache } from 'lru-cache'
import { countHit, FifoCache, FifoNode } from '../src/cache/memory/fifo-cache.ts'

/** Recorded requests: one number of 4 bytes each, in files `<name>.trace.gz`. Left out when there are none. */
const folder = process.env.TRACES
const longest = 1_000_000

type Trace = readonly [name: string, keys: () => Int32Array, sizes: readonly number[]]

const recorded: readonly (readonly [name: string, sizes: readonly number[]])[] = [
  ['web07', [500, 2_000]],
  ['web12', [300, 1_000]],
  ['orm-busy', [500, 1_250, 5_000, 10_000]],
  ['orm-night', [500, 5_000, 10_000]],
]

const generated: readonly Trace[] = [
  ['Zipf 0.9', () => zipf(300_000, 0.9, 0), [1_000, 5_000]],
  ['Zipf 0.9 with scans', () => zipf(300_000, 0.9, 8_000), [1_000, 5_000]],
  ['Zipf 1.1 with scans', () => zipf(300_000, 1.1, 8_000), [1_000, 5_000]],
  ['loop of 1,200', () => Int32Array.from({ length: 200_000 }, (_, at) => at % 1_200), [1_000]],
]

/** What share of requests does memory answer, by which entries it evicts? */
export default async function cacheEviction(): Promise<string> {
  const found = folder === undefined ? [] : recorded.filter(([name]) => existsSync(fileOf(name)))
  const traces: readonly Trace[] = [
    ...found.map(([name, sizes]): Trace => [name, () => read(fileOf(name)), sizes]),
    ...generated,
  ]
  const rows = traces.flatMap(([name, keys, sizes]) => {
    const trace = keys()
    return sizes.map((size) => {
      const percents = [ours(trace, size), lru(trace, size), best(trace, size)].map((hits) => percentOf(hits, trace))
      return `| ${name} | ${size.toLocaleString('en')} | ${percents.join(' | ')} |`
    })
  })
  const head = ['| requests | entries | posthaste | lru-cache | optimum |', '|---|---:|---:|---:|---:|']
  const missing = found.length === 0 ? ['', 'Recorded traffic: none, because `TRACES` names no folder with it.'] : []
  return ['Hit rates in percent. The optimum knows the future.', '', ...head, ...rows, ...missing].join('\n')
}

function fileOf(name: string): string {
  return join(folder ?? '', `${name}.trace.gz`)
}

function read(file: string): Int32Array {
  const bytes = gunzipSync(readFileSync(file))
  return Int32Array.from({ length: Math.min(longest, bytes.length / 4) }, (_, at) => bytes.readInt32BE(at * 4))
}

function percentOf(hits: number, trace: Int32Array): string {
  return ((100 * hits) / trace.length).toFixed(1)
}

function ours(trace: Int32Array, maxEntries: number): number {
  const cache = new FifoCache<FifoNode>({ maxEntries, maxBytes: Number.MAX_SAFE_INTEGER, isDead: () => false })
  let hits = 0
  for (const id of trace) {
    const key = String(id)
    const node = cache.get(key)
    if (node === undefined) {
      cache.set(key, new FifoNode(), 1)
      continue
    }
    countHit(node)
    hits++
  }
  return hits
}

function lru(trace: Int32Array, max: number): number {
  const cache = new LRUCache<number, true>({ max })
  let hits = 0
  for (const id of trace) {
    if (cache.get(id) === undefined) cache.set(id, true)
    else hits++
  }
  return hits
}

/** Belady's rule: evict what is needed last. The entries are in a heap by their next use. */
function best(trace: Int32Array, size: number): number {
  const nextUse = new Int32Array(trace.length)
  const lastSeen = new Map<number, number>()
  for (let at = trace.length - 1; at >= 0; at--) {
    nextUse[at] = lastSeen.get(trace[at] as number) ?? 2 ** 30
    lastSeen.set(trace[at] as number, at)
  }
  const held = new Map<number, number>()
  const heap: [use: number, id: number][] = []
  let hits = 0
  for (const [at, id] of trace.entries()) {
    if (held.has(id)) hits++
    else if (held.size >= size) {
      let furthest = pop(heap)
      while (held.get(furthest[1]) !== furthest[0]) furthest = pop(heap)
      held.delete(furthest[1])
    }
    held.set(id, nextUse[at] as number)
    push(heap, [nextUse[at] as number, id])
  }
  return hits
}

function push(heap: [number, number][], item: [number, number]): void {
  let at = heap.push(item) - 1
  for (let parent = (at - 1) >> 1; at > 0 && useOf(heap, parent) < item[0]; parent = (at - 1) >> 1) {
    heap[at] = heap[parent] as [number, number]
    heap[parent] = item
    at = parent
  }
}

function pop(heap: [number, number][]): [number, number] {
  const top = heap[0] as [number, number]
  const item = heap.pop() as [number, number]
  if (heap.length === 0) return top
  heap[0] = item
  for (let at = 0; ; ) {
    let child = 2 * at + 1
    if (child + 1 < heap.length && useOf(heap, child + 1) > useOf(heap, child)) child++
    if (child >= heap.length || useOf(heap, child) <= item[0]) return top
    heap[at] = heap[child] as [number, number]
    heap[child] = item
    at = child
  }
}

function useOf(heap: readonly [number, number][], at: number): number {
  return (heap[at] as [number, number])[0]
}

/** Ids of 50,000 by Zipf's law, with a scan of other ids now and then. */
function zipf(length: number, exponent: number, scan: number): Int32Array {
  const ids = 50_000
  const sums = new Float64Array(ids)
  let sum = 0
  for (let id = 0; id < ids; id++) {
    sum += 1 / (id + 1) ** exponent
    sums[id] = sum
  }
  const random = generator(7)
  const trace: number[] = []
  let next = ids
  while (trace.length < length) {
    if (scan > 0 && trace.length % 60_000 === 30_000) for (let left = scan; left > 0; left--) trace.push(next++)
    trace.push(indexOf(sums, random() * sum))
  }
  return Int32Array.from(trace)
}

function indexOf(sums: Float64Array, value: number): number {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sums[middle] as number) < value) low = middle + 1
    else high = middle
  }
  return low
}

/** Mulberry32. */
function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 4_294_967_296
  }
}
