import type * as express5 from 'express'
import { compressResponses as onExpress } from 'posthaste/express'
import { compressResponses as onFastify } from 'posthaste/fastify'
import { compressResponses as onHono } from 'posthaste/hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, type Answering, answering, ask, type Installation } from '../../support/answering.ts'
import { type CompressionCase, cases, faultsOf } from './compression-cases.ts'

const install: Installation = {
  express: (app) => void app.use(onExpress() as express5.RequestHandler),
  async fastify(app) {
    await app.register(onFastify, {})
  },
  hono: (app) => void app.use(onHono()),
}

async function originalOf({ body, pieces }: Answer): Promise<Buffer> {
  if (pieces === undefined) return Buffer.from(body ?? '')
  return Buffer.from((await Array.fromAsync(pieces())).join(''))
}

describe.each(Object.entries(answering))('on %s', (_name, start) => {
  let server: Answering
  let current: CompressionCase

  beforeAll(async () => {
    server = await start(() => current.answer, install)
  })
  afterAll(() => server.close())

  it.each(cases)('is right about $name', async (testCase) => {
    current = testCase
    const { method, accept, answer } = testCase
    const received = await ask(server.port, {
      ...(method && { method }),
      headers: accept === undefined ? {} : { 'accept-encoding': accept },
    })
    const strict = { ...testCase, encoding: [testCase.encoding].flat().slice(0, 1) }
    expect(faultsOf(strict, received, await originalOf(answer))).toEqual([])
  })
})
