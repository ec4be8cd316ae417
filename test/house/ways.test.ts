import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { services } from '../support/services.ts'

const redis = services.redis === undefined ? [] : [services.redis]
const printed = execFileSync(process.execPath, ['test/house/support/ways.ts', ...redis], { encoding: 'utf8' })
const ways = JSON.parse(printed) as Readonly<Record<'memoryHit' | 'redisHit' | 'page', readonly string[]>>

/** The files that the page on the design names for a way. */
function namedFor(title: string): string[] {
  const design = readFileSync('docs/design.md', 'utf8')
  const [way = ''] = design.slice(design.indexOf(`**${title}**`) + 2).split(/\n\n(?!\d)/)
  return [...way.matchAll(/`([\w/-]+\.ts)`/g)].map(([, file = '']) => file)
}

const sorted = (files: readonly string[]) => [...new Set(files)].sort()

describe('the page on the design names the files that a call goes through, and they are few:', () => {
  it('a hit in memory', () => {
    const named = sorted(namedFor('A hit in memory'))
    expect(named).toEqual(sorted(['cache.ts', ...ways.memoryHit]))
    expect(named.length).toBeLessThanOrEqual(8)
  })

  it.skipIf(redis.length === 0)('a hit in Redis', () => {
    const named = sorted([...namedFor('A hit in memory'), ...namedFor('A hit in Redis')])
    expect(named).toEqual(sorted(['cache.ts', 'cache/memory/fifo-cache.ts', ...ways.redisHit]))
    expect(named.length).toBeLessThanOrEqual(20)
  })

  it('a page by cursor', () => {
    const named = sorted(namedFor('A page by cursor'))
    expect(named).toEqual(sorted(['pagination.ts', ...ways.page]))
    expect(named.length).toBeLessThanOrEqual(18)
  })
})
