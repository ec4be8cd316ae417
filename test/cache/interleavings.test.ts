import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startRedis } from '../support/servers.ts'
import { services } from '../support/services.ts'
import { connect, type RedisClient, uniqueNamespace } from './support.ts'
import { runSchedule, schedules } from './torture/interleavings.ts'
import { openWith } from './torture/posthaste.ts'
import type { Subject } from './torture/subject.ts'

const withinMs = 200
const atOnce = 420
/** All 1,260 orders for each fault take half a minute; a run of the suite takes every tenth, other ones for each fault. */
const everyNth = process.env.TORTURE === 'all' ? 1 : 10

/** On a busy machine a lease would stay behind whose holder had given up on Redis, and others would wait until it expires. */
const timeouts = { store: '5s' } as const
const open = openWith({ timeouts })
const opened = [
  ['two processes', open, open],
  ['two processes, one without memory', open, openWith({ timeouts, memory: false })],
  ['two processes, one of which serves stale entries', open, openWith({ timeouts }, { serveStale: true })],
] as const

describe.skipIf(!services.redis).each(opened)(
  'every interleaving of reads, loads and invalidations of %s',
  (_, openA, openB) => {
    const namespace = uniqueNamespace()
    let server: Server | undefined
    let client: RedisClient
    let a: Subject
    let b: Subject

    beforeAll(async () => {
      server = await startRedis()
      const url = server?.url ?? (services.redis as string)
      client = await connect(url)
      a = await openA(url, namespace, withinMs)
      b = await openB(url, namespace, withinMs)
    })
    afterAll(async () => {
      await Promise.all([a.close(), b.close()])
      client.destroy()
      await server?.stop()
    })

    const faults: Record<string, (tags: readonly string[], key: string) => Promise<void>> = {
      nothing: async () => {},
      'the tags are evicted': async (tags) => {
        await client.del(tags.map((tag) => `{${namespace}}:t:${tag}`))
      },
      'the lease and the entry are evicted': async (_tags, key) => {
        await client.del([`{${namespace}}:l:${key}`, `{${namespace}}:e:${key}`])
      },
      'the clock is deleted': async () => {
        await client.del(`{${namespace}}:clock`)
      },
      'the pub/sub connections are killed': async () => {
        await client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub'])
      },
    }

    const cases = Object.entries(faults).map(([fault, cause], index) => ({ fault, cause, offset: index % everyNth }))
    it.each(cases)('keeps the promise while $fault happens in between', async ({ fault, cause, offset }) => {
      const all = schedules().filter((_schedule, index) => index % everyNth === offset)
      expect(all).toHaveLength(1_260 / everyNth)
      const broken: string[] = []
      for (let first = 0; first < all.length; first += atOnce) {
        const runs = all.slice(first, first + atOnce).map(async (schedule, index) => {
          const name = `${fault.replaceAll(/\W/g, '')}-${first + index}`
          const violations = await runSchedule(schedule, name, a, b, cause, withinMs)
          broken.push(...violations.map((text) => `${schedule.join(', ')}: ${text}`))
        })
        await Promise.all(runs)
      }
      expect(broken).toEqual([])
    })
  },
)
