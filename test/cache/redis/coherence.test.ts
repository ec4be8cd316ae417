import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Change } from '../../../src/cache/memory/invalidation-log.ts'
import { Coherence } from '../../../src/cache/redis/coherence.ts'
import { CoarseTime } from '../../../src/shared/time/clock.ts'

const withinMs = 40
/** Longer than a message is waited for. */
const tooLong = () => sleep(withinMs)
const at = (stamp: number, generation = 'g') => ({ stamp, generation })

/** A process that has seen the clock at 1, and what became of it since. */
function start() {
  const told: (Change | 'lost' | 'missing')[] = []
  const time = new CoarseTime()
  const coherence = new Coherence(withinMs, time, ({ tags, keys, all }) => {
    told.push(all ? 'lost' : { tags, keys, all })
  })
  coherence.onMissing = () => told.push('missing')
  coherence.observe(at(1), time.exact(), 0)
  told.length = 0
  return { coherence, told, now: () => time.exact() }
}

const other = JSON.stringify(['other', ['a'], [], false])

describe('coherence of memory', () => {
  it('is kept by messages that follow upon each other', () => {
    const { coherence, told } = start()
    coherence.receive(`2|1|g|${other}`)
    coherence.receive(`5|2|g|${coherence.encodeMessage({ tags: ['own'], keys: [], all: false })}`)
    coherence.receive(`5|2|g|${other}`)
    coherence.receive('what is this?')
    expect(told).toEqual([{ tags: ['a'], keys: [], all: false }])
  })

  it('is lost with a message, with one that is not ours, and with a clock of another generation', () => {
    const { coherence, told, now } = start()
    coherence.receive(`5|3|g|${other}`)
    coherence.receive('6|5|g|{"a":1}')
    coherence.observe(at(6, 'h'), now(), 6)
    expect(told).toEqual(['lost', 'lost', 'lost'])
  })

  it('is lost when a message does not come that an answer shows to have been sent', async () => {
    const { coherence, told, now } = start()
    const sentAt = now()
    coherence.observe(at(2), sentAt, 1)
    coherence.observe(at(3), now(), 2)
    expect(told).toEqual([])
    await tooLong()
    expect(told).toEqual(['lost', 'missing'])
    expect(coherence.isVerifiedAt(sentAt + withinMs - 1)).toBe(true)
    expect(coherence.isVerifiedAt(sentAt + withinMs)).toBe(false)
  })

  it('is kept when that message comes late', async () => {
    const { coherence, told, now } = start()
    coherence.observe(at(2), now(), 1)
    coherence.receive(`2|1|g|${other}`)
    await tooLong()
    expect(told).toEqual([{ tags: ['a'], keys: [], all: false }])
  })

  it('is kept when another answer shows a change of its own before that is answered', async () => {
    const { coherence, told, now } = start()
    const sentAt = now()
    coherence.observe(at(2), sentAt, 1)
    coherence.observeOwn(at(2), 1, sentAt)
    coherence.receive(`2|1|g|${coherence.encodeMessage({ tags: ['own'], keys: [], all: false })}`)
    await tooLong()
    expect(told).toEqual([])
  })

  it('does not go back to what was expected before the store lost changes', async () => {
    const { coherence, told, now } = start()
    coherence.observe(at(5), now(), 1)
    coherence.observe(at(3), now(), 5)
    await tooLong()
    coherence.receive(`4|3|g|${other}`)
    expect(told).toEqual(['lost', { tags: ['a'], keys: [], all: false }])
  })

  it('ends with the process’s interest', async () => {
    const { coherence, told, now } = start()
    coherence.observe(at(2), now(), 1)
    coherence.close()
    await tooLong()
    expect(told).toEqual([])
    expect(coherence.ageMs).toBeGreaterThan(0)
  })
})
