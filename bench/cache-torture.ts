import { open as openBentocache } from '../test/cache/torture/bentocache.ts'
import { open as openCacheable } from '../test/cache/torture/cacheable.ts'
import type { LoadedValue } from '../test/cache/torture/history.ts'
import { runSchedule, schedules } from '../test/cache/torture/interleavings.ts'
import { open as openPosthaste } from '../test/cache/torture/posthaste.ts'
import { open as openWithoutMemory } from '../test/cache/torture/posthaste-without-memory.ts'
import { runProcesses } from '../test/cache/torture/processes.ts'
import type { OpenSubject } from '../test/cache/torture/subject.ts'
import { startRedis } from '../test/support/servers.ts'
import { openGroupLoader } from './peers/layered-loader.ts'

const subjects: Readonly<Record<string, OpenSubject>> = {
  posthaste: openPosthaste,
  'posthaste-without-memory': openWithoutMemory,
  bentocache: openBentocache,
  cacheable: openCacheable,
}

/** An entry has one group, so both tags of an order are that group; what three processes do cannot be said with groups. */
const openLayeredLoader: OpenSubject = async (url, namespace) => {
  const loader = openGroupLoader<LoadedValue>(url, namespace, `${namespace}:notices`)
  await loader.ready
  const groupOf = (tag = '') => tag.slice(0, -2)
  return {
    getOrSet: (key, load, [tag]) => loader.getOrSet(key, load, groupOf(tag)),
    async invalidateTag(tag) {
      await loader.invalidateGroup(groupOf(tag))
      return true
    },
    close: () => loader.close(),
  }
}

const withinMs = 500
/** Raise it to look longer. */
const forMs = Number(process.env.TORTURE_MS ?? 5_000)

/**
 * Does a cache ever return a value whose load began before an invalidation that has resolved? In the process that
 * invalidated: never allowed. In another: allowed for half a second.
 */
export default async function cacheTorture(): Promise<string> {
  const lines: string[] = []
  for (const [subject, open] of Object.entries(subjects)) {
    const orders = await interleavings(open)
    const calm = await processes(subject, undefined)
    const rough = await processes(subject, 0)
    lines.push(`| ${subject} | ${orders} | ${calm} | ${rough} |`)
  }
  lines.push(`| layered-loader, one group for both tags | ${await interleavings(openLayeredLoader)} | | |`)
  return [
    'Reads that returned a value whose load began before an invalidation that had resolved: every order of 2 reads, 2 loads and',
    `2 invalidations by 2 processes, then 3 processes for ${forMs / 1_000} s (in the invalidating process + in another more than`,
    `${withinMs} ms later), on a Redis that is well and on one that evicts, is flushed, loses subscribers, one clock 30 s ahead.`,
    '',
    '| | orders that break it | 3 processes | with faults |',
    '|---|---:|---:|---:|',
    ...lines,
  ].join('\n')
}

async function interleavings(open: OpenSubject): Promise<string> {
  const server = await startRedis()
  if (server === undefined) throw new Error('There is no redis-server on the PATH')
  const [a, b] = await Promise.all([open(server.url, 'orders', withinMs), open(server.url, 'orders', withinMs)])
  const all = schedules()
  let broken = 0
  for (let first = 0; first < all.length; first += 420) {
    const runs = all.slice(first, first + 420).map(async (schedule, index) => {
      const violations = await runSchedule(schedule, `key-${first + index}`, a, b, async () => {}, withinMs)
      if (violations.length > 0) broken++
    })
    await Promise.all(runs)
  }
  await Promise.all([a.close(), b.close()])
  await server.stop()
  return `${broken} of ${all.length}`
}

async function processes(subject: string, troubleAfterMs: number | undefined): Promise<string> {
  const server = await startRedis()
  if (server === undefined) throw new Error('There is no redis-server on the PATH')
  const { url } = server
  const result = await runProcesses({ subject, url, namespace: 'torture', withinMs, forMs, seed: 1, troubleAfterMs })
  await server.stop()
  const { ownViolations, foreignViolations, reads, failures, longestMs } = result
  const seen = `${ownViolations} + ${foreignViolations} of ${reads}`
  const longest = longestMs === 0 ? '' : `, up to ${(longestMs / 1_000).toFixed(1)} s later`
  return failures.length === 0 ? seen + longest : `${seen}${longest}; ${failures.length} calls failed`
}
