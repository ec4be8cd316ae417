import type express5 from 'express'
import { createCache, PerformanceMonitor } from 'posthaste'
import { cacheResponses, compressResponses, freshness, monitorRequests } from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { answering, ask } from '../support/answering.ts'

describe.each(['Express 4', 'Express 5'])('all middleware together on %s', (name) => {
  it('lets a handler use `pipeline` without a warning of Node', async () => {
    const warnings: string[] = []
    const listener = ({ name, message }: Error) => {
      if (name === 'MaxListenersExceededWarning') warnings.push(message)
    }
    process.on('warning', listener)
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const cache = createCache()
    const pieces = async function* () {
      yield 'a piece of text '.repeat(500)
      yield 'and another'
    }
    const tags = { tags: ['text'] }
    const { port, close } = await answering[name]!(() => ({ pieces, headers: { 'content-type': 'text/plain' } }), {
      express: (app) => void app.use(monitorRequests(monitor), compressResponses() as express5.RequestHandler),
      route: { express: [freshness(cache, tags), cacheResponses(cache, tags)] as unknown as express5.RequestHandler },
    })
    onTestFinished(async () => {
      process.off('warning', listener)
      await close()
      await cache.close()
      await monitor.close()
    })
    const { status, headers } = await ask(port, { headers: { 'accept-encoding': 'gzip' } })
    expect([status, headers['content-encoding']]).toEqual([200, 'gzip'])
    expect(warnings).toEqual([])
  })
})

it('leaves the application as many listeners as it may have without `monitorRequests`', async () => {
  const warnings: Error[] = []
  const listener = (warning: Error) => warnings.push(warning)
  process.on('warning', listener)
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  let free = 0
  const { port, close } = await answering['Express 5']!(() => ({ body: 'text' }), {
    express(app) {
      app.use((_request, response, next) => {
        free = response.getMaxListeners() - response.listenerCount('close')
        next()
      })
      app.use(monitorRequests(monitor), (_request, response, next) => {
        for (let count = 0; count < free; count++) response.on('close', () => {})
        next()
      })
    },
  })
  onTestFinished(async () => {
    process.off('warning', listener)
    await close()
    await monitor.close()
  })
  await ask(port)
  expect([free > 5, warnings]).toEqual([true, []])
})
