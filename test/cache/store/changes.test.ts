import { afterEach, expect, it, vi } from 'vitest'
import { ChangeQueue } from '../../../src/cache/store/changes.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

it('repeats what was sent in the minute before the server was lost, however long the next one takes to come', async () => {
  let now = 1_000_000
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  const changes = new ChangeQueue()
  changes.addSent({ tags: ['early'], keys: [], all: false })
  now += 59_000
  changes.addSent({ tags: ['tag'], keys: ['key'], all: false })
  now += 2_000
  changes.noteLoss()
  now += 600_000
  changes.noteLoss()
  const send = vi.fn(async () => {})
  await changes.flush(send)
  expect(send.mock.calls).toEqual([[{ tags: ['tag'], keys: ['key'], all: false }]])
  await changes.flush(send)
  expect(send).toHaveBeenCalledOnce()
})
