import { expect, it } from 'vitest'
import { createWarner } from '../../src/shared/warnings.ts'

it('an `onWarn` that rejects ends no process, and its error is a warning', async () => {
  const messages: string[] = []
  const onWarning = ({ message }: Error) => messages.push(message)
  process.on('warning', onWarning)
  const warn = createWarner(async () => {
    throw new Error('no log')
  })
  warn({ code: 'SOMETHING', message: 'something' })
  await new Promise(setImmediate)
  process.off('warning', onWarning)
  expect(messages).toEqual(['something (`onWarn` threw: no log)'])
})
