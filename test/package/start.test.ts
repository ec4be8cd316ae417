import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/servers.ts'

const folder = mkdtempSync(join(tmpdir(), 'posthaste-start-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Started {
  readonly child: ChildProcess
  /** What it printed so far. */
  output(): string
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>
}

/** Starts the example as `npm start` does, on the built package. */
function startCities(...args: string[]): Started {
  return start(['examples/cities/main.ts', '--data', folder, ...args])
}

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env } })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  return { child, output: () => output, exited: once(child, 'exit').then(([code]) => code as number | null) }
}

describe('npm start', () => {
  it('loads the cities, prints what to try, reuses them on the second start, and ends on Ctrl-C within a second', async () => {
    for (const [server, loads] of [
      ['hono', true],
      ['express', false],
      ['fastify', false],
    ] as const) {
      const port = await freePort()
      const { child, output, exited } = startCities('--server', server, '--port', String(port))
      await expect.poll(output, { timeout: 60_000 }).toContain('Ctrl-C stops it.')
      expect(output().includes('Loading cities'), server).toBe(loads)

      const urls = [...output().matchAll(/^ {2}(http:\S+)$/gm)].map(([, url]) => url ?? '')
      expect(urls).toHaveLength(7)
      for (const url of urls) expect((await fetch(url)).status, url).toBe(200)

      const asked = performance.now()
      child.kill('SIGINT')
      expect(await exited, server).toBe(0)
      expect(performance.now() - asked).toBeLessThan(1_000)
    }
  })

  it('says in one sentence that the port is taken', async () => {
    const taken = createServer().listen(0)
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    for (const server of ['hono', 'express', 'fastify']) {
      const { output, exited } = startCities('--server', server, '--port', String(port))
      expect(await exited, server).toBe(1)
      expect(output().trim().split('\n').at(-1)).toBe(`Port ${port} is taken: choose another with --port.`)
    }
    taken.close()
  })

  it.each([
    [['--server', 'koa'], "There is no server 'koa'."],
    [['--port', '99999'], "'99999' is not a port."],
    [['--speed', 'high'], "Unknown option '--speed'\nUsage: npm start"],
    [
      ['--database', 'postgres://localhost:1/cities'],
      'No PostgreSQL answers at the address that --database gives. Is it running?',
    ],
  ])('explains a wrong flag: %j', async (args, sentence) => {
    const { output, exited } = startCities(...args)
    expect(await exited).toBe(1)
    expect(output()).toContain(sentence)
    expect(output()).not.toContain('    at ')
  })

  it('says that Redis is down, and answers', async () => {
    const port = await freePort()
    const { child, output, exited } = startCities('--port', String(port), '--redis', 'redis://localhost:1')
    await expect.poll(output, { timeout: 60_000 }).toContain('Ctrl-C stops it.')
    expect((await fetch(`http://localhost:${port}/countries`)).status).toBe(200)
    await expect.poll(output).toContain('The state of Redis: down.')
    child.kill('SIGINT')
    expect(await exited).toBe(0)
  })
})

describe('npm run start:crm', () => {
  it('prints what to try, and ends on Ctrl-C within a second', async () => {
    const { child, output, exited } = start(['examples/crm/main.ts'], { PORT: String(await freePort()) })
    await expect.poll(output, { timeout: 60_000 }).toContain('Ctrl-C stops it.')
    const urls = [...output().matchAll(/^ {2}(http:\S+)$/gm)].map(([, url]) => url ?? '')
    expect(urls).toHaveLength(4)
    for (const url of urls) expect((await fetch(url)).status, url).toBe(200)

    const asked = performance.now()
    child.kill('SIGINT')
    expect(await exited).toBe(0)
    expect(performance.now() - asked).toBeLessThan(1_000)
  })

  it('says in one sentence what is wrong with its environment', async () => {
    const taken = createServer().listen(0)
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    for (const [env, sentence] of [
      [{ PORT: String(port) }, `Port ${port} is taken: choose another with PORT.`],
      [{ PORT: 'eighty' }, 'Expected PORT to be a port'],
      [{ PORT: '0', MAX_PAGE_SIZE: 'many' }, 'MAX_PAGE_SIZE'],
    ] as const) {
      const { output, exited } = start(['examples/crm/main.ts'], env)
      expect(await exited).toBe(1)
      expect(output()).toContain(sentence)
      expect(output().trim()).not.toContain('\n')
    }
    taken.close()
  })
})
