import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/servers.ts'
import { snippetsOf } from '../support/snippets.ts'
import { createProject, type Project } from './support/packed.ts'

const express4 = `express=${resolve('node_modules/express4')}`
const common = ['kysely', '@types/node', 'fastify', 'hono', '@hono/node-server']
const startedOf = readFileSync('docs/getting-started.md', 'utf8').matchAll(/^## ((?:Express|Fastify|Hono) \d)$/gm)
const programs = snippetsOf('docs/getting-started.md').filter(({ code }) => code.includes('DatabaseSync'))
const cases = [...startedOf].map(([, name = ''], index) => ({ name, code: programs[index]?.code ?? '' }))
const [readme] = snippetsOf('README.md').filter(({ language }) => language === 'ts')

let project: Project | undefined
let server: ChildProcess | undefined
afterEach(() => {
  server?.kill('SIGKILL')
  project?.remove()
})

describe('complete programs of the documents, run with the packed build', () => {
  it('are there for each framework', () => {
    expect(cases.map(({ name }) => name)).toEqual(['Express 5', 'Express 4', 'Fastify 5', 'Hono 4'])
    expect(programs).toHaveLength(cases.length)
  })

  it.each([...cases, { name: 'README', code: readme?.code ?? '' }])(
    '$name answers as its page says',
    async ({ name, code }) => {
      const port = await freePort()
      expect(code).toContain('3000')
      project = createProject({
        packages: [...common, name === 'Express 4' ? express4 : 'express'],
        type: 'commonjs', // as `npm init` makes it
        files: { 'server.mts': code.replace('3000', String(port)) },
      })
      server = spawn(process.execPath, ['server.mts'], { cwd: project.folder, stdio: ['ignore', 'ignore', 'inherit'] })
      const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`)
      await expect
        .poll(() =>
          get('/health').then(
            ({ status }) => status,
            () => 0,
          ),
        )
        .toBe(200)

      const page = await get('/users?page=2&per_page=20&sort=-name')
      expect(await page.json()).toMatchObject({
        items: { 0: { name: 'user 80' }, length: 20 },
        pagination: { page: 2, perPage: 20, total: 500, totalPages: 25, hasNext: true, hasPrev: true },
      })
      const refused = await get('/users?per_page=101')
      expect(refused.status).toBe(400)
      expect(await refused.text()).toContain('per_page')
      const stats = (await (await get('/performance/stats')).json()) as { endpoints: object[] }
      expect(stats.endpoints).toMatchObject([{ route: '/users', latency_ms: { p95: expect.any(Number) } }])
      expect((await get('/performance')).headers.get('content-type')).toContain('text/html')
    },
  )
})
