import pg from 'pg'
import { poolOptions, settingsFromEnv, tunePgPool } from 'posthaste'
import { describe, expect, it } from 'vitest'

describe('poolOptions', () => {
  it('means the same in all three drivers', () => {
    const settings = { poolSize: 3, maxOverflow: 4, poolTimeout: '5s', poolRecycle: '30m', poolPrePing: true } as const
    expect(poolOptions('pg', settings)).toEqual({
      options: { max: 7, min: 3, idleTimeoutMillis: 10_000, connectionTimeoutMillis: 6_000, keepAlive: true },
      tuning: { prePing: 'idle', acquireTimeout: '5s', recycle: '30m' },
    })
    expect(poolOptions('mysql2', settings).options).toMatchObject({
      connectionLimit: 7,
      maxIdle: 3,
      connectTimeout: 5_000,
    })
    expect(poolOptions('tarn', settings)).toMatchObject({
      options: { max: 7, min: 3, acquireTimeoutMillis: 5_000 },
    })
    // It has no place for an age.
    expect(poolOptions('tarn', settings).tuning).toEqual({ prePing: 'idle', acquireTimeout: '5s' })
  })

  it('has the defaults of the document, and takes the environment', () => {
    expect(poolOptions('pg').options).toMatchObject({ max: 30, min: 10 })
    expect(poolOptions('pg').tuning).toEqual({ prePing: 'idle', acquireTimeout: '30s', recycle: '1h' })
    const { pool } = settingsFromEnv({
      DB_POOL_SIZE: '2',
      DB_MAX_OVERFLOW: '0',
      DB_POOL_RECYCLE: '60',
      DB_POOL_PRE_PING: 'no',
    })
    expect(poolOptions('pg', pool)).toMatchObject({ options: { max: 2 }, tuning: { prePing: false, recycle: '60s' } })
  })

  it('waits no longer than the timers of the drivers can, which fire at once for a longer time', () => {
    const longest = 2 ** 31 - 1
    const settings = { poolTimeout: '40d' } as const
    expect(poolOptions('pg', settings).options.connectionTimeoutMillis).toBe(longest)
    expect(poolOptions('mysql2', settings).options.connectTimeout).toBe(longest)
    expect(poolOptions('tarn', settings).options).toMatchObject({
      acquireTimeoutMillis: longest,
      createTimeoutMillis: longest,
    })
    expect(poolOptions('pg', settings).tuning.acquireTimeout).toBe('40d')
  })

  it.each([
    [{ poolSize: 0 }, 'Expected `poolSize` to be a whole number from 1 up, got `0` (number)'],
    [{ maxOverflow: -1 }, 'Expected `maxOverflow`'],
    [{ poolTimeout: 30 }, 'Expected `poolTimeout` to be a duration'],
    [{ poolRecycle: 3600 }, 'Expected `poolRecycle` to be a duration'],
    [{ poolPrePing: 'yes' }, 'Expected `poolPrePing` to be one of true, false'],
  ])('refuses %j', (settings, message) => {
    expect(() => poolOptions('pg', settings as never)).toThrow(message)
  })

  it('refuses a driver it does not know', () => {
    expect(() => poolOptions('oracle' as never)).toThrow("Expected `driver` to be one of 'pg', 'mysql2', 'tarn'")
  })
})

describe('tuning', () => {
  it.each([
    [{ prePing: 'always' }, 'Expected `prePing`'],
    [{ recycle: 5 }, 'Expected `recycle` to be a duration'],
    [{ acquireTimeout: 5 }, 'Expected `acquireTimeout`'],
    [{ leakAfter: '' }, 'Expected `leakAfter`'],
    [{ statementTimeout: 1 }, 'Expected `statementTimeout`'],
    [{ timeoutVia: 'client' }, "Expected `timeoutVia` to be one of 'startup', 'set', got `'client'` (string)"],
    [{ timeoutVia: 'hope' }, 'Expected `timeoutVia`'],
  ])('refuses %j', (tuning, message) => {
    expect(() => tunePgPool(new pg.Pool(), tuning as never)).toThrow(message)
  })
})
