import Keyv from 'keyv'
import { createCache } from 'posthaste'
import { expect, it, onTestFinished, vi } from 'vitest'

it('tells the ages of entries in a Keyv store by the system time after that was set, or the machine was suspended', async () => {
  const now = Date.now.bind(Date)
  let shift = 0
  const spy = vi.spyOn(Date, 'now').mockImplementation(() => now() + shift)
  const cache = createCache({ store: new Keyv(), memory: false, profiles: { default: { ttl: '1m', stale: '1h' } } })
  onTestFinished(async () => {
    await cache.close()
    spy.mockRestore()
  })
  await cache.set('key', 'old')
  expect(await cache.get('key')).toBe('old')
  shift = 2 * 60_000
  expect(await cache.get('key')).toBeUndefined()
  await cache.set('key', 'new')
  expect(await cache.get('key')).toBe('new')
})
