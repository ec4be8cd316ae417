import { type AddressInfo, connect as connectTo, createServer, type Socket } from 'node:net'
import { createCache } from 'posthaste'
import { afterAll, beforeAll, describe, it, type TestContext } from 'vitest'
import { type Server, startRedis } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { connect, uniqueNamespace, until } from '../support.ts'

/** A way to Redis on which connections can fall silent: nothing is closed, and nothing arrives any more. */
class Relay {
  readonly #server = createServer((socket) => this.#serve(socket))
  readonly #connections: { readonly sockets: readonly Socket[]; isSubscriber: boolean; isSilent: boolean }[] = []
  readonly #target: URL
  /** Whether new connections are accepted, and then ignored. */
  isDeaf = false
  /** Whether a connection is closed that wants to subscribe. */
  closesSubscribers = false

  constructor(target: string) {
    this.#target = new URL(target)
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** From now on nothing passes through the connections that there are. */
  silence(which: 'all' | 'subscriber'): void {
    for (const connection of this.#connections) connection.isSilent ||= which === 'all' || connection.isSubscriber
  }

  close(): void {
    this.#server.close()
    for (const { sockets } of this.#connections) for (const socket of sockets) socket.destroy()
  }

  #serve(socket: Socket): void {
    const target = connectTo(Number(this.#target.port), this.#target.hostname)
    const connection = { sockets: [socket, target], isSubscriber: false, isSilent: this.isDeaf }
    this.#connections.push(connection)
    for (const [from, to] of [
      [socket, target],
      [target, socket],
    ] as const) {
      from.on('error', () => {})
      from.on('close', () => to.destroy())
      from.on('data', (bytes) => {
        if (from === socket && bytes.includes('subscribe')) {
          connection.isSubscriber = true
          if (this.closesSubscribers) return from.destroy()
        }
        if (!connection.isSilent) to.write(bytes)
      })
    }
  }
}

describe.skipIf(!services.redis)('a connection that falls silent', { concurrent: true }, () => {
  let server: Server

  beforeAll(async () => {
    server = (await startRedis()) as Server
  })
  afterAll(() => server.stop())

  /** A cache behind a relay, and another that is not, both with the value `'old'` under `'key'`. */
  async function setUp({ onTestFinished }: TestContext) {
    const relay = new Relay(server.url)
    const namespace = uniqueNamespace()
    const redis = await relay.listen()
    const cache = createCache({ redis, namespace })
    const other = createCache({ redis: server.url, namespace })
    onTestFinished(async () => {
      await Promise.all([cache.close(), other.close()])
      relay.close()
    })
    await until(() => cache.set('key', 'old', { tags: ['tag'] }), 15_000)
    await until(async () => (await other.get('key')) === 'old', 15_000)
    return { relay, redis, cache, other, namespace }
  }

  /** Until a connection is no longer given time for its first answer. */
  const pastGreeting = () => pause(2_050)

  it('is replaced within 3 seconds, and what was invalidated meanwhile is sent', async (context) => {
    const { expect } = context
    const { relay, cache, other } = await setUp(context)
    await pastGreeting()
    relay.silence('all')
    expect(await cache.invalidateTags('tag')).toEqual({ propagated: false, queued: true })
    await until(() => cache.stats().store.state === 'up', 3_000)
    expect(cache.stats().store.queuedInvalidations).toBe(0)
    expect(await other.getOrSet('key', () => 'new', { tags: ['tag'] })).toBe('new')
    expect(await cache.get('key')).toBe('new')
  })

  it('is replaced by one that is silent too, until one is not', async (context) => {
    const { expect } = context
    const { relay, cache } = await setUp(context)
    relay.silence('all')
    relay.isDeaf = true
    expect(await cache.invalidateTags('tag')).toEqual({ propagated: false, queued: true })
    await pause(3_500)
    expect(cache.stats().store.state).toBe('down')
    relay.isDeaf = false
    // A connection made a moment ago is silent still, and has 2 seconds for its first answer; then the cool-down may begin.
    await until(() => cache.stats().store.state === 'up', 5_000)
  })

  it('carries messages again after one of another process was missed', async (context) => {
    const { expect } = context
    const { relay, cache, other } = await setUp(context)
    await pastGreeting()
    const heard: string[] = []
    cache.on('invalidate', ({ tags }) => heard.push(...tags))
    relay.silence('subscriber')
    await other.invalidateTags('missed')
    await until(async () => {
      // Shows the clock, which is ahead of the messages.
      await cache.get('key')
      await other.invalidateTags('heard')
      await pause(20)
      return heard.includes('heard')
    }, 10_000)
    expect(heard).not.toContain('missed')
    // On a busy machine an answer may be late, which says nothing about the messages.
    const { timeout: _late, ...others } = cache.stats().errorsByKind
    expect(Object.values(others).filter((count) => count > 0)).toEqual([])
  })

  it('carries messages although it was lost when it was to subscribe, before anything is invalidated', async (context) => {
    const { expect } = context
    const { relay, redis, namespace } = await setUp(context)
    relay.closesSubscribers = true
    const cache = createCache({ redis, namespace })
    context.onTestFinished(() => cache.close())
    const lost: unknown[] = []
    cache.on('error', ({ operation }) => lost.push(operation))
    await until(() => lost.length > 0)
    relay.closesSubscribers = false
    expect(await cache.get('key')).toBe('old')
    expect(cache.stats().store.state).toBe('degraded')
    await until(async () => (await cache.has('key')) && cache.stats().store.state === 'up', 10_000)
  })

  it('is left to the user who gave the client', async (context) => {
    const { expect } = context
    const { relay, redis, namespace } = await setUp(context)
    const client = await connect(redis)
    const given = createCache({ redis: client, namespace, breaker: { coolDown: '50ms' } })
    await until(() => given.set('key', 'old'))
    await pastGreeting()
    relay.silence('all')
    await given.invalidateTags('tag')
    await pause(500)
    expect(client.isReady).toBe(true)
    expect(given.stats().store.state).toBe('down')
    await given.close()
    client.destroy()
  })
})

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
