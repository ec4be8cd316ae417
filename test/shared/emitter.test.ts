import { describe, expect, it } from 'vitest'
import { Emitter } from '../../src/shared/emitter.ts'

interface Events {
  readonly news: number
}

function createEmitter() {
  return new Emitter<Events>((error) => {
    throw error
  })
}

describe('listeners that change the listeners', () => {
  it('are called once for an event when they listen again, each time with another function', () => {
    const emitter = createEmitter()
    const heard: number[] = []
    const listenOnce = () => {
      const off = emitter.on('news', (event) => {
        heard.push(event)
        if (heard.length > 10) throw new Error('never ends')
        off()
        listenOnce()
      })
    }
    listenOnce()
    emitter.emit('news', 1)
    emitter.emit('news', 2)
    expect(heard).toEqual([1, 2])
  })

  it('are called once for an event when they listen again with the same function', () => {
    const emitter = createEmitter()
    let calls = 0
    const listener = () => {
      if (++calls > 10) throw new Error('never ends')
      off()
      off = emitter.on('news', listener)
    }
    let off = emitter.on('news', listener)
    emitter.emit('news', 1)
    expect(calls).toBe(1)
  })

  it('are not called once another has removed them', () => {
    const emitter = createEmitter()
    const heard: string[] = []
    emitter.on('news', () => {
      heard.push('first')
      off()
    })
    const off = emitter.on('news', () => heard.push('second'))
    emitter.emit('news', 1)
    expect(heard).toEqual(['first'])
    expect(emitter.hears('news')).toBe(true)
  })
})
