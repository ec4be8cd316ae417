import { PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { askAndLeave } from '../../scope/support/servers.ts'
import { type Answerer, answering, ask, type Installation } from '../../support/answering.ts'
import { until } from '../../support/until.ts'

const answer: Answerer = () => ({ body: 'text' })

/** `monitorRequests`, then something that waits, as for a session, then `shedLoad` with each of the limits. */
function guarded(monitor: PerformanceMonitor, limits: readonly number[], wait: () => Promise<void>): Installation {
  return {
    express(app) {
      app.use(onExpress.monitorRequests(monitor))
      app.use((_request, _response, next) => void wait().then(() => next()))
      for (const concurrency of limits) app.use(onExpress.shedLoad(monitor, { concurrency }))
    },
    async fastify(app) {
      await app.register(onFastify.monitorRequests, { monitor })
      app.addHook('onRequest', () => wait())
      for (const concurrency of limits) await app.register(onFastify.shedLoad, { monitor, concurrency })
    },
    hono(app) {
      app.use(onHono.monitorRequests(monitor))
      app.use(async (_c, next) => {
        await wait()
        await next()
      })
      for (const concurrency of limits) app.use(onHono.shedLoad(monitor, { concurrency }))
    },
  }
}

describe.each(Object.keys(answering))('the entrances of `shedLoad` on %s', (name) => {
  async function start(install: (monitor: PerformanceMonitor) => Installation) {
    const monitor = new PerformanceMonitor({ sampleInterval: false, onWarn: () => {} })
    const { port, close } = await answering[name]!(answer, install(monitor))
    onTestFinished(async () => {
      await close()
      await monitor.close()
    })
    return { monitor, port }
  }

  it('count no request whose client has left before', async () => {
    let isOpen = true
    let gate = Promise.withResolvers<void>()
    let waiting = 0
    let passed = 0
    const wait = async () => {
      if (isOpen) return
      waiting++
      await gate.promise
      passed++
    }
    const { monitor, port } = await start((monitor) => guarded(monitor, [1], wait))
    // From the first request on, those that something held up are found.
    expect(await ask(port, { path: '/first' })).toMatchObject({ status: 200 })
    for (let left = 1; left <= 3; left++) {
      isOpen = false
      gate = Promise.withResolvers()
      await askAndLeave(
        `http://127.0.0.1:${port}/left`,
        until(() => waiting === left),
      )
      await until(() => monitor.snapshot().requests.aborted === left)
      gate.resolve()
      await until(() => passed === left)
      isOpen = true
      expect(await ask(port, { path: '/next' })).toMatchObject({ status: 200 })
    }
    await until(() => monitor.snapshot().requests.inFlight === 0)
    expect(monitor.admission()).toMatchObject({ inFlight: 0, shed: 0 })
  })

  it('may be several: each counts a request once, and none for ever', async () => {
    const { monitor, port } = await start((monitor) => guarded(monitor, [1, 2, 1], () => Promise.resolve()))
    for (let count = 1; count <= 5; count++) expect(await ask(port, { path: '/next' })).toMatchObject({ status: 200 })
    await until(() => monitor.snapshot().requests.inFlight === 0)
    expect(monitor.admission()).toMatchObject({ inFlight: 0, shed: 0 })
  })
})

it('an entrance that a request passes twice counts it once', async () => {
  const monitor = new PerformanceMonitor({ sampleInterval: false, onWarn: () => {} })
  const shedLoad = onExpress.shedLoad
  const install: Installation = {
    express(app) {
      app.use(onExpress.monitorRequests(monitor))
      const guard = shedLoad(monitor, { concurrency: 1 })
      app.use(guard).use(guard)
    },
  }
  const { port, close } = await answering['Express 5']!(answer, install)
  onTestFinished(async () => {
    await close()
    await monitor.close()
  })
  for (let count = 1; count <= 3; count++) expect(await ask(port, { path: '/next' })).toMatchObject({ status: 200 })
  await until(() => monitor.snapshot().requests.inFlight === 0)
  expect(monitor.admission()).toMatchObject({ inFlight: 0, shed: 0 })
})
