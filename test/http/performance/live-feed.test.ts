import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LiveFeed, type LiveFeedOptions } from '../../../src/http/performance/live-feed.ts'

describe('a live feed', () => {
  let renders: number
  let errors: unknown[]

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    renders = 0
    errors = []
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const feedOf = (options: Partial<LiveFeedOptions> = {}) =>
    new LiveFeed({
      render: async () => `text ${++renders}`,
      onError: (error) => errors.push(error),
      intervalMs: 1_000,
      lifetimeMs: 30_000,
      patienceMs: 60_000,
      ...options,
    })
  const textOf = async (result: Promise<IteratorResult<string, undefined>>) => (await result).value

  it('gives a text at once, and then one an interval', async () => {
    const client = feedOf().follow()[Symbol.asyncIterator]()
    expect(await textOf(client.next())).toBe('text 1')
    const second = textOf(client.next())
    await vi.advanceTimersByTimeAsync(999)
    expect(renders).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(await second).toBe('text 2')
  })

  it('makes one text for all clients', async () => {
    const feed = feedOf()
    const clients = Array.from({ length: 10 }, () => feed.follow()[Symbol.asyncIterator]())
    expect(await Promise.all(clients.map((client) => textOf(client.next())))).toEqual(Array(10).fill('text 1'))
    const next = Promise.all(clients.map((client) => textOf(client.next())))
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await next).toEqual(Array(10).fill('text 2'))
    expect(renders).toBe(2)
  })

  it('makes nothing while nobody waits, and starts again with the next client', async () => {
    const feed = feedOf()
    const first = feed.follow()[Symbol.asyncIterator]()
    await first.next()
    const waiting = first.next()
    await first.return?.()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(vi.getTimerCount()).toBe(0)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(renders).toBe(1)
    expect(await textOf(feed.follow()[Symbol.asyncIterator]().next())).toBe('text 2')
  })

  it('lets a client go at once, while it waits and before it begins, and counts it once', async () => {
    const feed = feedOf()
    const [stays, leaves, idle] = Array.from({ length: 3 }, () => feed.follow()[Symbol.asyncIterator]()) as [
      AsyncIterator<string, undefined>,
      AsyncIterator<string, undefined>,
      AsyncIterator<string, undefined>,
    ]
    await Promise.all([stays.next(), leaves.next()])
    expect(feed.clients).toBe(3)
    const waiting = [stays.next(), leaves.next()] as const
    await leaves.return?.()
    await leaves.return?.()
    await idle.return?.()
    expect(feed.clients).toBe(1)
    expect((await waiting[1]).done).toBe(true)
    expect((await idle.next()).done).toBe(true)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await textOf(waiting[0])).toBe('text 2')
  })

  it('skips what a slow client was not ready for, without holding the others back', async () => {
    const feed = feedOf()
    const slow = feed.follow()[Symbol.asyncIterator]()
    const quick = feed.follow()[Symbol.asyncIterator]()
    await Promise.all([slow.next(), quick.next()])
    for (let second = 0; second < 3; second++) {
      const next = quick.next()
      await vi.advanceTimersByTimeAsync(1_000)
      await next
    }
    const late = textOf(slow.next())
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await late).toBe('text 5')
  })

  it('never renders twice at a time, when rendering takes longer than the interval', async () => {
    let running = 0
    let most = 0
    const feed = feedOf({
      render: async () => {
        most = Math.max(most, ++running)
        await new Promise((resolve) => setTimeout(resolve, 3_000))
        running--
        return `text ${++renders}`
      },
    })
    const clients = [feed.follow()[Symbol.asyncIterator](), feed.follow()[Symbol.asyncIterator]()]
    const texts = clients.map(async (client) => {
      const seen: (string | undefined)[] = []
      for (let count = 0; count < 3; count++) seen.push(await textOf(client.next()))
      return seen
    })
    await vi.advanceTimersByTimeAsync(2_000)
    clients.push(feed.follow()[Symbol.asyncIterator]())
    texts.push(textOf((clients[2] as AsyncIterator<string, undefined>).next()).then((text) => [text]))
    await vi.advanceTimersByTimeAsync(20_000)
    expect((await Promise.all(texts))[0]).toEqual(['text 1', 'text 2', 'text 3'])
    expect(most).toBe(1)
  })

  it('ends the streams when rendering fails, tells why, and serves the next client', async () => {
    let fails = false
    const feed = feedOf({
      render: async () => {
        if (fails) throw new Error('closed')
        return `text ${++renders}`
      },
    })
    const clients = [feed.follow()[Symbol.asyncIterator](), feed.follow()[Symbol.asyncIterator]()]
    await Promise.all(clients.map((client) => client.next()))
    fails = true
    const ends = Promise.all(clients.map((client) => client.next()))
    await vi.advanceTimersByTimeAsync(1_000)
    expect((await ends).map(({ done }) => done)).toEqual([true, true])
    expect(errors).toEqual([new Error('closed')])
    expect(feed.clients).toBe(0)
    fails = false
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await textOf(feed.follow()[Symbol.asyncIterator]().next())).toBe('text 2')
  })

  it('ends a stream after its lifetime', async () => {
    const feed = feedOf({ lifetimeMs: 3_000 })
    const texts: string[] = []
    const whole = (async () => {
      for await (const text of feed.follow()) texts.push(text)
    })()
    await vi.advanceTimersByTimeAsync(4_000)
    await whole
    expect(texts).toEqual(['text 1', 'text 2', 'text 3', 'text 4'])
    expect(feed.clients).toBe(0)
  })

  it('ends a stream that is told to, at the next text', async () => {
    let isOver = false
    const feed = feedOf()
    const client = feed.follow({ isOver: () => isOver })[Symbol.asyncIterator]()
    await client.next()
    const next = client.next()
    isOver = true
    await vi.advanceTimersByTimeAsync(1_000)
    expect((await next).done).toBe(true)
    expect(feed.clients).toBe(0)
  })

  it('lets a client go that does not read', async () => {
    const feed = feedOf({ patienceMs: 10_000 })
    const happened: string[] = []
    const listeners = { onStuck: () => happened.push('stuck'), onEnd: () => happened.push('end') }
    const client = feed.follow(listeners)[Symbol.asyncIterator]()
    const reader = feed.follow()[Symbol.asyncIterator]()
    await Promise.all([client.next(), reader.next()])
    await vi.advanceTimersByTimeAsync(9_999)
    await Promise.all([reader.next(), vi.advanceTimersByTimeAsync(0)])
    expect(happened).toEqual([])
    expect(feed.clients).toBe(2)
    await vi.advanceTimersByTimeAsync(1)
    expect(happened).toEqual(['end', 'stuck'])
    expect(feed.clients).toBe(1)
    expect((await client.next()).done).toBe(true)
    expect(happened).toEqual(['end', 'stuck'])
  })
})
