import { EventEmitter } from 'node:events'
import { type PoolTuning, tunePgPool } from 'posthaste'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const dayMs = 24 * 60 * 60 * 1_000

class StubClient extends EventEmitter {
  release(): void {}

  /** Never answers. */
  query(): Promise<never> {
    return new Promise(() => {})
  }
}

/** A pool of `pg` without a server, which has one connection at most. */
class StubPool extends EventEmitter {
  readonly options = { max: 1 }
  readonly totalCount = 1
  readonly idleCount = 0
  #isTaken = false

  connect(callback: (error: undefined, client: StubClient) => void): void {
    if (this.#isTaken) return
    this.#isTaken = true
    const client = new StubClient()
    this.emit('connect', client)
    callback(undefined, client)
  }
}

describe('durations that are longer than the timers of Node', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
  afterEach(() => void vi.useRealTimers())

  function open(tuning: PoolTuning) {
    const pool = tunePgPool(new StubPool(), tuning)
    return { pool, connect: pool.connect as unknown as () => Promise<StubClient> }
  }

  it('let a caller wait for a connection until then', async () => {
    const { pool, connect } = open({ acquireTimeout: '40d' })
    await connect()
    const waiting = connect()
    waiting.catch(() => {})
    await vi.advanceTimersByTimeAsync(40 * dayMs - 1)
    expect(pool.stats()).toMatchObject({ waiting: 1, timeouts: 0 })
    await vi.advanceTimersByTimeAsync(2)
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_POOL_TIMEOUT' })
  })

  it('let a caller hold a connection until then without a warning', async () => {
    const warnings: string[] = []
    const { connect } = open({ leakAfter: '40d', onWarn: ({ code }) => warnings.push(code) })
    await connect()
    await vi.advanceTimersByTimeAsync(40 * dayMs - 1)
    expect(warnings).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(warnings).toEqual(['CONNECTION_LEAK'])
  })

  it('let a ping take until then', async () => {
    const { pool, connect } = open({ prePing: true, pingTimeout: '40d', acquireTimeout: '50d' })
    void connect()
    await vi.advanceTimersByTimeAsync(40 * dayMs - 1)
    expect(pool.stats()).toMatchObject({ pings: 1, failedPings: 0 })
    await vi.advanceTimersByTimeAsync(1)
    expect(pool.stats()).toMatchObject({ pings: 1, failedPings: 1 })
  })
})
