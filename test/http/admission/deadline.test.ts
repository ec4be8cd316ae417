import { PerformanceMonitor, requestScope } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { expect, it, onTestFinished } from 'vitest'
import { type Answerer, answering, ask, type Installation } from '../../support/answering.ts'
import { until } from '../../support/until.ts'

const deadline = '150ms'

const guarded = (monitor: PerformanceMonitor): Installation => ({
  express(app) {
    app.use(onExpress.monitorRequests(monitor, { deadline }), onExpress.shedLoad(monitor))
  },
  async fastify(app) {
    await app.register(onFastify.monitorRequests, { monitor, deadline })
    await app.register(onFastify.shedLoad, { monitor })
  },
  hono(app) {
    app.use(onHono.monitorRequests(monitor, { deadline }), onHono.shedLoad(monitor))
  },
})

it.each(Object.keys(answering))('refuses on %s what its deadline has passed for while it waited', async (name) => {
  const monitor = new PerformanceMonitor({ sampleInterval: false, onWarn: () => {} })
  let started = 0
  let late = 0
  const answer: Answerer = () => {
    started++
    if (requestScope()!.signal.aborted) late++
    const end = performance.now() + 20
    while (performance.now() < end);
    return { body: 'text' }
  }
  const { port, close } = await answering[name]!(answer, guarded(monitor))
  onTestFinished(async () => {
    await close()
    await monitor.close()
  })
  const answers = await Promise.all(Array.from({ length: 25 }, () => ask(port, { path: '/work' })))
  const refused = answers.filter(({ status }) => status === 503)
  expect({ late, started: started + refused.length }).toEqual({ late: 0, started: 25 })
  expect(refused.length).toBeGreaterThan(0)
  await until(() => monitor.snapshot().requests.inFlight === 0)
  expect(monitor.admission()).toMatchObject({ inFlight: 0, shed: refused.length })
})
