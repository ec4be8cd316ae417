import { createServer } from 'node:http'
import express5 from 'express'
import express4 from 'express4'
import { PerformanceMonitor } from 'posthaste'
import { monitorRequests, performanceRoutes, shedLoad } from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask } from '../support/answering.ts'
import { listen } from '../support/listen.ts'

const versions = [
  ['Express 5', express5],
  ['Express 4', express4 as unknown as typeof express5],
] as const

/** A router of comments, whose replies are comments again: it is mounted below itself, at once or through another router. */
function comments(express: typeof express5, isDirect: boolean, hold: Promise<unknown>): express5.Router {
  const router = express.Router()
  const replies = isDirect ? router : express.Router()
  router.get('/slow', async (_request, response) => {
    await hold
    response.send('slow')
  })
  router.get('/:id', (request, response) => void response.send(request.params.id))
  router.use('/:id/replies', replies)
  if (!isDirect) replies.use('/', router)
  return router
}

describe.each(versions)('On %s, a router that is mounted below itself', (_name, express) => {
  it.each([true, false])('is measured and guarded (at once: %s)', async (isDirect) => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    onTestFinished(() => monitor.close())
    const hold = Promise.withResolvers<void>()
    const app = express()
    app.use(monitorRequests(monitor))
    app.use(shedLoad(monitor, { concurrency: 1 }))
    app.use('/comments', comments(express, isDirect, hold.promise))
    app.use(performanceRoutes(monitor, { authorize: 'public' }))
    const port = await listen(createServer(app))
    const paths = ['/comments/1', '/comments/1/replies/2', '/comments/1/replies/2/replies/3', '/comments/4']

    const answers: string[] = []
    for (const path of paths) answers.push((await ask(port, { path })).body.toString())
    expect(answers).toEqual(['1', '2', '3', '4'])
    const slow = ask(port, { path: '/comments/slow' })
    await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(1)
    const { status } = await ask(port, { path: '/health/ready' })
    hold.resolve()
    await slow

    expect(status).toBe(200)
    await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)
    expect(
      monitor
        .snapshot()
        .endpoints.map(({ route, count }) => `${count} ${route}`)
        .sort(),
    ).toEqual([
      '1 /comments/:id/replies/:id',
      '1 /comments/:id/replies/:id/replies/:id',
      '1 /comments/slow',
      '2 /comments/:id',
    ])
  })
})
