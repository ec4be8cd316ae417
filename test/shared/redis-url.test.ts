import { expect, it } from 'vitest'
import { isRedisUrl } from '../../src/shared/redis-url.ts'

it.each([
  ['redis://localhost', true],
  ['rediss://user:pass@host:6380/2', true],
  ['redis:localhost', false],
  ['http://localhost', false],
  ['localhost:6379', false],
  ['redis://', true],
  ['redis://a:b:c', false],
  ['', false],
  ['redis://host/0', true],
  ['redis://host/cache', false],
  ['redis://host/1/2', false],
  ['redis://:p%25w@host', true],
  ['redis://:p%w@host', false],
  ['redis://u%zz:pass@host', false],
])('%j is a Redis URL: %s', (text, expected) => {
  expect(isRedisUrl(text)).toBe(expected)
})
