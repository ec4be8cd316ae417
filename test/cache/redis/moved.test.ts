import { EventEmitter } from 'node:events'
import { expect, it, vi } from 'vitest'
import type { RedisClientLike } from '../../../src/cache/redis/redis-client.ts'
import { RedisConnections } from '../../../src/cache/redis/redis-connections.ts'

it('counts the change of the primary that a sentinel names as a lost connection, also for what is under way', async () => {
  const client = Object.assign(new EventEmitter(), {
    isOpen: true,
    isReady: true,
    options: {},
    withCommandOptions: () => ({}),
    subscribe: async () => {},
    destroy: () => {},
  })
  const open = async () => client as unknown as RedisClientLike
  const connections = new RedisConnections({ open }, 'shop', () => {})
  const [ready, lost] = [vi.fn(), vi.fn()]
  await connections.prepare()
  await connections.connect({ ready, lost, subscriptionFailed: lost })
  const name = (port: number) =>
    client.emit('topology-change', { type: 'MASTER_CHANGE', node: { host: 'redis', port } })
  name(1)
  name(1)
  client.emit('topology-change', { type: 'REPLICA_ADD', node: { host: 'redis', port: 2 } })
  expect(lost).not.toHaveBeenCalled()
  const { promise, resolve } = Promise.withResolvers<string>()
  const answer = connections.send(() => promise)
  name(2)
  expect(lost).toHaveBeenCalledOnce()
  resolve('of the new primary')
  await expect(answer).rejects.toThrow('has moved')
  expect(await connections.send(async () => 'asked later')).toBe('asked later')
  await vi.waitFor(() => expect(ready).toHaveBeenCalledOnce())
  connections.close()
})
