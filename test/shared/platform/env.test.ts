import { describe, expect, it } from 'vitest'
import { settingsFromEnv } from '../../../src/shared/platform/env.ts'

describe('settingsFromEnv', () => {
  it('reads every variable of the document, in the units of the document', () => {
    const settings = settingsFromEnv({
      DEFAULT_PAGE_SIZE: '20',
      MAX_PAGE_SIZE: '50',
      CACHE_TTL_USERS: '300',
      CACHE_TTL_DASHBOARD_STATS: '60',
      USE_REDIS_CACHE: 'true',
      REDIS_URL: 'redis://cache:6379/1',
      ALERT_RESPONSE_TIME_THRESHOLD: '500',
      ALERT_CPU_THRESHOLD: '80',
      ALERT_MEMORY_THRESHOLD: '85.5',
      ALERT_CACHE_ERROR_THRESHOLD: '5',
      DB_POOL_SIZE: '10',
      DB_MAX_OVERFLOW: '0',
      DB_POOL_TIMEOUT: '30',
      DB_POOL_RECYCLE: '3600',
      DB_POOL_PRE_PING: 'false',
    })
    expect(settings).toEqual({
      pagination: { perPage: { default: 20, max: 50 } },
      cache: { ttls: { users: '300s', dashboard_stats: '60s' }, redis: 'redis://cache:6379/1' },
      alerts: { responseTime: '500ms', cpu: 80, memory: 85.5, cacheErrors: 5 },
      pool: { poolSize: 10, maxOverflow: 0, poolTimeout: '30s', poolRecycle: '3600s', poolPrePing: false },
    })
  })

  it('leaves out what is not set, so that defaults stay in force', () => {
    const nothing = { pagination: { perPage: {} }, cache: { ttls: {} }, alerts: {}, pool: {} }
    expect(settingsFromEnv({})).toEqual(nothing)
    expect(settingsFromEnv({ DEFAULT_PAGE_SIZE: ' ', REDIS_URL: '', DB_POOL_SIZE: undefined })).toEqual(nothing)
  })

  it('takes durations with a unit too', () => {
    expect(
      settingsFromEnv({ CACHE_TTL_USERS: '5m', ALERT_RESPONSE_TIME_THRESHOLD: '0.5s', DB_POOL_RECYCLE: '1h' }),
    ).toMatchObject({
      cache: { ttls: { users: '5m' } },
      alerts: { responseTime: '0.5s' },
      pool: { poolRecycle: '1h' },
    })
  })

  it.each([
    [{ USE_REDIS_CACHE: 'false', REDIS_URL: 'redis://cache' }, undefined],
    [{ USE_REDIS_CACHE: 'true' }, 'redis://localhost:6379'],
    [{ USE_REDIS_CACHE: 'true', REDIS_URL: 'rediss://cache' }, 'rediss://cache'],
    [{ REDIS_URL: 'redis://cache' }, 'redis://cache'],
    [{}, undefined],
  ])('with %j uses the Redis at %s', (env, redis) => {
    expect(settingsFromEnv(env).cache.redis).toBe(redis)
  })

  it.each([
    ['DEFAULT_PAGE_SIZE', '0'],
    ['DEFAULT_PAGE_SIZE', '101'],
    ['MAX_PAGE_SIZE', '1e3'],
    ['CACHE_TTL_USERS', 'five'],
    ['CACHE_TTL_USERS', '-1'],
    ['USE_REDIS_CACHE', 'maybe'],
    ['ALERT_RESPONSE_TIME_THRESHOLD', 'fast'],
    ['ALERT_CPU_THRESHOLD', '180'],
    ['ALERT_MEMORY_THRESHOLD', '0'],
    ['ALERT_CACHE_ERROR_THRESHOLD', '5%'],
    ['DB_POOL_SIZE', '2.5'],
    ['DB_MAX_OVERFLOW', '-1'],
    ['DB_POOL_TIMEOUT', '30x'],
    ['DB_POOL_RECYCLE', 'hourly'],
    ['DB_POOL_PRE_PING', '2'],
  ])('refuses %s=%s and names the variable', (name, value) => {
    const read = () => settingsFromEnv({ [name]: value })
    expect(read).toThrow(TypeError)
    expect(read).toThrow(`Expected ${name} to be`)
  })

  it.each([5, true, null, ['a']])('names a variable whose value is no string: %j', (value) => {
    expect(() => settingsFromEnv({ DB_POOL_SIZE: value } as never)).toThrow('Expected DB_POOL_SIZE to be a string, got')
  })

  it('never shows a URL, which may hold a password', () => {
    for (const url of [
      'http://user:secret@cache',
      'redis://user:secret@cache:port',
      'secret',
      'redis://:secret%@cache',
    ]) {
      expect(() => settingsFromEnv({ REDIS_URL: url })).toThrow(
        /^Expected REDIS_URL to be a URL that starts with redis:\/\/ or rediss:\/\/, with the number of a database/,
      )
    }
  })

  const others = [
    'USE_REDIS_CACHE',
    'DB_POOL_SIZE',
    'DB_POOL_TIMEOUT',
    'DB_POOL_PRE_PING',
    'CACHE_TTL_A',
    'ALERT_CPU_THRESHOLD',
  ]
  const urls = [
    'redis://app:hunter2@redis.internal:6379',
    '"redis://app:hunter2@redis.internal:6379"',
    ' redis://app:hunter2@redis.internal',
    'redis: //app:hunter2 @redis',
    'app:hunter2@redis',
    ':hunter2@',
    '//:hunter2@a',
    'app@redis?p=hunter2',
    'redis%3A%2F%2F:hunter2',
    'Server=a;Pwd=hunter2',
    'host=a password=hunter2',
    'REDIS_URL=hunter2',
    '5 redis://:hunter2@a',
    'true\nredis://:hunter2@a',
  ]
  it.each(others)('never shows a URL, nor a part of one, that was given to %s', (name) => {
    for (const url of urls) {
      const read = () => settingsFromEnv({ [name]: url })
      expect(read).toThrow(`Expected ${name} to be`)
      expect(read).toThrow(/^(?!.*hunter2).*got a text of \d+ characters/)
    }
  })

  it.each(['maybe', '"true"', "'5'", '5 min', '-1', '1,000', '80 %', '2.5.1', '12e-3'])(
    'shows a slip such as %s',
    (value) => {
      expect(() => settingsFromEnv({ DB_POOL_SIZE: value })).toThrow(`got \`'${value}'\` (string)`)
    },
  )
})
