import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { FairDeadline } from '../../../src/cache/store/fair-deadline.ts'

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
