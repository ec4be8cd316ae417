import { describe, expect, it } from 'vitest'
import { services } from '../../support/services.ts'
import { gate, until, useRedis } from '../support.ts'

const withinMs = 3_600_000
const options = { tags: ['a'] }

describe.skipIf(!services.redis)('a caller that comes while a load runs', () => {
  const redis = useRedis('running')

  /** A cache that hears of nothing for longer than `coherence.within` after it began to load `key`. */
  async function startLoad() {
    let now = 1_000
    const cache = await redis.open({ clock: () => now, coherence: { within: '1h' } })
    const finish = gate<string>()
    let loads = 0
    const load = () => (loads++ === 0 ? finish.promise : 'new')
    const first = cache.getOrSet('key', load, options)
    await until(() => loads === 1)
    now += withinMs
    return { finish, first, ask: () => cache.getOrSet('key', load, options), loads: () => loads, cache }
  }

  it('does not get its value if another process has invalidated it, and this one has not heard of that', async () => {
    const { finish, first, ask } = await startLoad()
    const [record, generation] = ((await redis.client.get(`{${redis.namespace}}:clock`)) as string).split('|')
    const later = String(Number(record) + 1)
    await redis.client.mSet({
      [`{${redis.namespace}}:clock`]: `${later}|${generation}`,
      [`{${redis.namespace}}:t:a`]: later,
    })
    const second = ask()
    finish.open('old')
    expect(await Promise.all([first, second])).toEqual(['old', 'new'])
  })

  it('gets its value if nobody has, though this process could not know', async () => {
    const { finish, first, ask, loads, cache } = await startLoad()
    const others = [ask(), ask()]
    finish.open('old')
    expect(await Promise.all([first, ...others])).toEqual(['old', 'old', 'old'])
    expect(loads()).toBe(1)
    expect(cache.stats()).toMatchObject({ requests: 3, loads: 1 })
  })

  it('shares its failure', async () => {
    const { finish, first, ask, loads } = await startLoad()
    const second = ask()
    finish.open(Promise.reject(new Error('down')) as never)
    await expect(first).rejects.toThrow('down')
    await expect(second).rejects.toThrow('down')
    expect(loads()).toBe(1)
  })
})
