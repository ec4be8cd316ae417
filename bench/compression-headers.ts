/**
 * Who compresses the right answers, with the right headers? The table of cases that the suite runs, against the middleware
 * that each framework's users know.
 */
import fastifyCompress from '@fastify/compress'
import compression from 'compression'
import type * as express5 from 'express'
import { compress as honoCompress } from 'hono/compress'
import { compressResponses as onExpress } from '../src/express.ts'
import { compressResponses as onFastify } from '../src/fastify.ts'
import { compressResponses as onHono } from '../src/hono.ts'
import { cases, faultsOf } from '../test/http/compression/compression-cases.ts'
import { answering, ask, type Installation } from '../test/support/answering.ts'

interface Contestant {
  readonly name: string
  readonly framework: string
  readonly install: Installation
}

const contestants: readonly Contestant[] = [
  {
    name: 'posthaste/express',
    framework: 'Express 5',
    install: { express: (app) => void app.use(onExpress() as express5.RequestHandler) },
  },
  { name: 'compression', framework: 'Express 5', install: { express: (app) => void app.use(compression()) } },
  {
    name: 'posthaste/fastify',
    framework: 'Fastify',
    install: { fastify: async (app) => void (await app.register(onFastify, {})) },
  },
  {
    name: '@fastify/compress',
    framework: 'Fastify',
    install: { fastify: async (app) => void (await app.register(fastifyCompress)) },
  },
  { name: 'posthaste/hono', framework: 'Hono', install: { hono: (app) => void app.use(onHono()) } },
  { name: 'hono/compress', framework: 'Hono', install: { hono: (app) => void app.use(honoCompress()) } },
]

export default async function run(): Promise<string> {
  const faults = new Map<string, Map<string, string>>()
  for (const { name, framework, install } of contestants) faults.set(name, await faultsIn(framework, install))
  const summary = contestants.map(({ name }) => `| ${name} | ${cases.length - (faults.get(name)?.size ?? 0)} |`)
  const wrong = cases.filter(({ name }) => [...faults.values()].some((found) => found.has(name)))
  const details = wrong.map(
    ({ name }) => `| ${name} | ${contestants.map((one) => faults.get(one.name)?.get(name) ?? '').join(' | ')} |`,
  )
  return [
    `| | right, of ${cases.length} |`,
    '|---|---:|',
    ...summary,
    '',
    `| case | ${contestants.map(({ name }) => name).join(' | ')} |`,
    `|---|${'---|'.repeat(contestants.length)}`,
    ...details,
  ].join('\n')
}

async function faultsIn(framework: string, install: Installation): Promise<Map<string, string>> {
  let current = cases[0] as (typeof cases)[number]
  const start = answering[framework] as NonNullable<(typeof answering)[string]>
  const server = await start(() => current.answer, install)
  const found = new Map<string, string>()
  for (const testCase of cases) {
    current = testCase
    const { method = 'GET', accept, answer, name } = testCase
    const headers: Record<string, string> = accept === undefined ? {} : { 'accept-encoding': accept }
    const { body, pieces } = answer
    const original =
      pieces === undefined ? Buffer.from(body ?? '') : Buffer.from((await Array.fromAsync(pieces())).join(''))
    // A whole body without a length is not wrong, only worse.
    const faults = faultsOf({ ...testCase, hasLength: false }, await ask(server.port, { method, headers }), original)
    if (faults.length > 0) found.set(name, faults.join(', '))
  }
  await server.close()
  return found
}
