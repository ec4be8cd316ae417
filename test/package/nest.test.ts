import { type ChildProcess, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import ts from 'typescript'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/servers.ts'
import { snippetsOf } from '../support/snippets.ts'
import { createProject, hasTools, type Project, tool } from './support/packed.ts'

const programs = snippetsOf('docs/recipes/nestjs.md').filter(({ language }) => language === 'ts')
const nest = ['common', 'core', 'platform-express', 'platform-fastify'].map((name) => `@nestjs/${name}`)

let project: Project | undefined
let server: ChildProcess | undefined
afterEach(() => {
  server?.kill('SIGKILL')
  project?.remove()
})

describe.skipIf(!hasTools)('the recipe for NestJS', () => {
  it.each(programs.map(({ code }, index) => ({ on: ['Express', 'Fastify'][index], code })))(
    'compiles and answers on $on',
    async ({ code }) => {
      const port = await freePort()
      const tools = [...nest, 'reflect-metadata', 'rxjs'].map((name) => `${name}=${tool(name)}`)
      project = createProject({
        packages: ['kysely', '@types/node', 'undici-types', `fastify=${tool('fastify')}`, ...tools],
        files: { 'main.ts': code.replace('3000', String(port)) },
      })
      expect(compile(join(project.folder, 'main.ts'))).toEqual([])

      server = spawn(process.execPath, ['main.js'], { cwd: project.folder, stdio: ['ignore', 'ignore', 'inherit'] })
      const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`, { headers: { accept: '*/*' } })
      const statusOf = (path: string) =>
        get(path).then(
          ({ status }) => status,
          () => 0,
        )
      await expect.poll(() => statusOf('/health')).toBe(200)
      expect(await (await get('/users?page=2')).json()).toEqual({ page: 2, items: [] })
      expect((await get('/users?page=2')).headers.get('cache-status')).toContain('hit')
      const refused = await get('/users?page=0')
      expect(refused.status).toBe(400)
      expect(refused.headers.get('content-type')).toContain('application/problem+json')
      const stats = (await (await get('/performance/stats')).json()) as { endpoints: object[] }
      expect(stats.endpoints).toMatchObject([{ route: '/users', count: 3 }])
    },
  )
})

/** Compiles as Nest's own projects do, and returns the errors. */
function compile(file: string): string[] {
  const program = ts.createProgram([file], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    skipLibCheck: true,
    types: ['node'],
    typeRoots: [resolve('node_modules/@types')],
  })
  program.emit()
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '))
}
