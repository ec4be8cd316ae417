import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { FairDeadline } from '../../../src/cache/store/limits.ts'

const dayMs = 86_400_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it.each([
  ['a second', 1_000],
  ['40 days', 40 * dayMs],
  ['a year', 365 * dayMs],
])('passes after %s, and not much before', async (_name, ms) => {
  const late = vi.fn(() => new Error('late'))
  const raced = new FairDeadline(ms).race(new Promise(() => {}), late)
  raced.catch(() => {})
  await vi.advanceTimersByTimeAsync(0.8 * ms)
  expect(late).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(0.3 * ms)
  await expect(raced).rejects.toThrow('late')
})

it('passes after the fake timers of a test were taken away, or others took their place', async () => {
  const deadline = new FairDeadline(100)
  const late = () => new Error('late')
  await deadline.race(Promise.resolve(), late)
  vi.useRealTimers()
  await expect(deadline.race(new Promise(() => {}), late)).rejects.toThrow('late')
  vi.useFakeTimers()
  const raced = deadline.race(new Promise(() => {}), late)
  raced.catch(() => {})
  await vi.advanceTimersByTimeAsync(120)
  await expect(raced).rejects.toThrow('late')
})
