import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { Agent, request as send } from 'node:http'
import { connect } from 'node:net'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { snippetsOf } from '../../support/snippets.ts'

interface Answer {
  readonly status: number | undefined
  readonly connection: string | undefined
}

/** The server of docs/recipes/kubernetes.md, word by word, with a route, a stand-in for the database, and a wait that ends when told. */
async function startRecipe(): Promise<{ server: ChildProcess; port: number }> {
  const recipe = snippetsOf('docs/recipes/kubernetes.md').find(({ code }) => code.includes('SIGTERM'))
  const face = (name: string) => pathToFileURL(resolve(`src/${name}.ts`)).href
  const changes: ReadonlyArray<readonly [from: string, to: string]> = [
    ["'posthaste'", `'${face('index')}'`],
    ["'posthaste/express'", `'${face('express')}'`],
    [
      'const monitor =',
      'const db = { executeQuery: async () => ({ rows: [] }), destroy: async () => {} }\nconst monitor =',
    ],
    [
      'const server = app.listen(3_000)',
      "app.get('/work', (_request, response) => void setTimeout(5).then(() => response.end('done')))\nconst server = app.listen(0)",
    ],
    ['setTimeout(10_000)', "new Promise((resolve) => process.once('message', resolve))"],
    ['setTimeout(30_000', 'setTimeout(100'],
    ['monitor.markStarted()', 'monitor.markStarted(); process.send(server.address().port)'],
  ]
  const code = changes.reduce((text, [from, to]) => {
    expect(text).toContain(from)
    return text.replace(from, to)
  }, recipe?.code ?? '')
  const folder = resolve('node_modules/.cache/recipes')
  mkdirSync(folder, { recursive: true })
  const file = `${folder}/kubernetes.mjs`
  writeFileSync(file, `${code}\nprocess.channel.unref()\n`)
  const server = spawn(process.execPath, ['--no-warnings', file], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  onTestFinished(() => void server.kill('SIGKILL'))
  const [port] = (await once(server, 'message')) as [number]
  return { server, port }
}

function ask(port: number, path: string, agent: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = send({ host: '127.0.0.1', port, path, agent }, (response) => {
      response.resume()
      response.on('end', () => resolve({ status: response.statusCode, connection: response.headers.connection }))
    })
    request.on('error', reject).end()
  })
}

it('the recipe for Kubernetes loses no request of clients that keep their connections and do not stop, and ends', async () => {
  const { server, port } = await startRecipe()
  const exited = once(server, 'exit')
  const probe = new Agent({ keepAlive: true })
  expect((await ask(port, '/health/ready', probe)).status).toBe(200)
  expect((await ask(port, '/health/startup', probe)).status).toBe(200)

  let isDraining = false
  let isRemoved = false
  const lost: unknown[] = []
  const answersWhileDraining: Answer[] = []
  /** A client that goes on until its connection is closed and Kubernetes gives it no new one. */
  const client = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (;;) {
      try {
        const began = isDraining
        const answer = await ask(port, '/work', agent)
        if (began) answersWhileDraining.push(answer)
        else if (answer.status !== 200) lost.push(answer)
        if (isRemoved && answer.connection === 'close') break
      } catch (error) {
        lost.push(error)
        break
      }
    }
    agent.destroy()
  }
  const clients = Promise.all(Array.from({ length: 16 }, client))
  await ask(port, '/work', probe)
  server.kill('SIGTERM')
  await expect.poll(async () => (await ask(port, '/health/ready', probe)).status, { interval: 20 }).toBe(503)
  isDraining = true
  expect(await ask(port, '/health/live', probe)).toEqual({ status: 200, connection: 'close' })
  await expect.poll(() => answersWhileDraining.length, { interval: 20 }).toBeGreaterThan(16)
  isRemoved = true
  await clients
  server.send('waited')
  expect(lost).toEqual([])
  expect(answersWhileDraining.filter(({ status, connection }) => status !== 200 || connection !== 'close')).toEqual([])
  expect(await exited).toEqual([0, null])
  probe.destroy()
})

it('the recipe ends although a client holds a connection on which it has sent nothing, and another reads the live page', async () => {
  const { server, port } = await startRecipe()
  const exited = once(server, 'exit')
  const unused = connect(port, '127.0.0.1')
  await once(unused, 'connect')
  const page = send({ host: '127.0.0.1', port, path: '/performance/stream' }).end()
  page.on('error', () => {})
  await once(page, 'response')
  server.kill('SIGTERM')
  await expect.poll(async () => (await ask(port, '/health/ready', new Agent())).status, { interval: 20 }).toBe(503)
  server.send('waited')
  expect(await exited).toEqual([0, null])
  unused.destroy()
  page.destroy()
})
