import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countHit, FifoCache, FifoNode } from '../../../src/cache/memory/fifo-cache.ts'

class Node extends FifoNode {
  isDead = false
}

function open(maxEntries: number, maxBytes = Number.MAX_SAFE_INTEGER): FifoCache<Node> {
  return new FifoCache<Node>({ maxEntries, maxBytes, isDead: ({ isDead }) => isDead })
}

const runs = { seed: 1, numRuns: Number(process.env.RUNS ?? 200) }

describe('a cache that evicts by S3-FIFO', () => {
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('set' as const),
        key: fc.nat(30),
        size: fc.integer({ min: 1, max: 12 }),
      }),
    },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('get' as const), key: fc.nat(30), size: fc.constant(0) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('delete' as const), key: fc.nat(30), size: fc.constant(0) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), key: fc.nat(30), size: fc.constant(0) }) },
  )

  it('keeps both bounds, and never returns anything but what was set last', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 10, max: 100 }),
        fc.array(step, { maxLength: 300 }),
        (maxEntries, maxBytes, steps) => {
          const cache = open(maxEntries, maxBytes)
          const model = new Map<string, Node>()
          for (const { kind, key: id, size } of steps) {
            const key = String(id)
            const found = cache.get(key)
            if (kind === 'set') {
              const node = new Node()
              cache.set(key, node, size)
              model.set(key, node)
              expect(cache.get(key)).toBe(size * 10 > maxBytes ? undefined : node)
            } else if (kind === 'delete') {
              cache.delete(key)
              model.delete(key)
              expect(cache.get(key)).toBeUndefined()
            } else if (found !== undefined) {
              expect(found).toBe(model.get(key))
              if (kind === 'die') found.isDead = true
              else countHit(found)
            }
            const held = [...model].filter(([name, node]) => cache.get(name) === node)
            expect(cache.entries).toBe(held.length)
            expect(cache.bytes).toBe(held.reduce((sum, [, node]) => sum + node.size, 0))
            expect(cache.entries).toBeLessThanOrEqual(maxEntries)
            expect(cache.bytes).toBeLessThanOrEqual(maxBytes)
          }
        },
      ),
      runs,
    )
  })

  it('keeps what is read through a scan of ten times its size', () => {
    const cache = open(100)
    for (let id = 0; id < 50; id++) {
      const node = new Node()
      cache.set(`used ${id}`, node, 1)
      countHit(node)
    }
    for (let id = 0; id < 1_000; id++) cache.set(`scanned ${id}`, new Node(), 1)
    for (let id = 0; id < 50; id++) expect(cache.get(`used ${id}`)).toBeDefined()
    expect(cache.entries).toBe(100)
    expect(cache.evictions).toBe(950)
  })

  it('evicts what is dead before what lives, however often it was read', () => {
    const cache = open(10)
    const dead = new Node()
    cache.set('dead', dead, 1)
    for (let read = 0; read < 5; read++) countHit(dead)
    for (let id = 0; id < 9; id++) cache.set(`living ${id}`, new Node(), 1)
    dead.isDead = true
    cache.set('new', new Node(), 1)
    expect(cache.get('dead')).toBeUndefined()
    for (let id = 0; id < 9; id++) expect(cache.get(`living ${id}`)).toBeDefined()
  })

  it('does not keep an entry above a tenth of the bytes, nor the one that it replaces', () => {
    const cache = open(10, 1_000)
    cache.set('key', new Node(), 100)
    expect(cache.get('key')).toBeDefined()
    cache.set('key', new Node(), 101)
    expect(cache.get('key')).toBeUndefined()
    expect(cache.bytes).toBe(0)
  })
})
