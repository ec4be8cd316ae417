import { createCache } from '../../src/cache/create-cache.ts'

/** What a process has counted since it was last asked. */
export interface Heard {
  /** For each invalidation by its number: how many caches have heard of it, and when the last one did, in milliseconds since 1970. */
  readonly last: readonly (readonly [number: number, caches: number, at: number])[]
  /** How often a cache had to drop all of its memory, because it had missed a message. */
  readonly dropped: number
  /** Processor time of the process, in microseconds. */
  readonly cpuUs: number
}

const [, , url = '', count = '1'] = process.argv

/** As many caches as are asked for, each with connections of its own, as if it were a process, and in use. */
const caches = Array.from({ length: Number(count) }, () => createCache({ redis: url, namespace: 'fleet' }))
const heard = new Map<number, { caches: number; at: number }>()
let dropped = 0
let cpu = process.cpuUsage()
for (const cache of caches) {
  cache.on('invalidate', ({ tags, all }) => {
    if (all) dropped++
    for (const tag of tags) {
      const number = Number(tag.split(':')[1])
      const known = heard.get(number)
      heard.set(number, { caches: (known?.caches ?? 0) + 1, at: performance.timeOrigin + performance.now() })
    }
  })
}
for (const cache of caches) await cache.getOrSet('key', () => 1)
setInterval(() => {
  for (const cache of caches) cache.peek('key')
}, 100)

process.on('message', () => {
  const { user, system } = process.cpuUsage(cpu)
  cpu = process.cpuUsage()
  const last = [...heard].map(([number, { caches, at }]) => [number, caches, at] as const)
  const answer: Heard = { last, dropped, cpuUs: user + system }
  heard.clear()
  dropped = 0
  process.send?.(answer)
})
process.send?.('ready')
