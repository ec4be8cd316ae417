import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const faces = {
  root: { specifier: 'posthaste', peers: [] as string[] },
  express: { specifier: 'posthaste/express', peers: ['express'] },
  fastify: { specifier: 'posthaste/fastify', peers: ['fastify'] },
  hono: { specifier: 'posthaste/hono', peers: ['hono'] },
}

let packed: string

beforeAll(() => {
  packed = mkdtempSync(join(tmpdir(), 'posthaste-packed-'))
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', packed], { stdio: 'pipe' })
  execFileSync('sh', ['-c', `tar -xzf ${packed}/*.tgz -C ${packed}`])
})

afterAll(() => rmSync(packed, { recursive: true, force: true }))

/** An empty project in which the packed package, its dependencies and the named peers are installed, and nothing else. */
function project(type: 'module' | 'commonjs', peers: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-project-'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type }))
  cpSync(join(packed, 'package'), join(folder, 'node_modules/posthaste'), { recursive: true })
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> }
  const typed = peers.map((peer) => `@types/${peer}`).filter((name) => existsSync(join('node_modules', name)))
  for (const name of [...Object.keys(dependencies), 'kysely', '@types/node', ...peers, ...typed]) {
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(resolve('node_modules', name), link)
  }
  return folder
}

describe.each(Object.entries(faces))('the packed %s face', (_name, { specifier, peers }) => {
  it('is imported by an ESM project that has only its framework', () => {
    const folder = project('module', peers)
    const code = `import * as face from '${specifier}'; console.log(Object.keys(face).length)`
    const count = Number(
      execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: folder, encoding: 'utf8' }),
    )
    rmSync(folder, { recursive: true })
    expect(count).toBeGreaterThan(0)
  })

  it('is required by a CommonJS project that has only its framework', () => {
    const folder = project('commonjs', peers)
    const code = `console.log(Object.keys(require('${specifier}')).length)`
    const count = Number(execFileSync(process.execPath, ['-e', code], { cwd: folder, encoding: 'utf8' }))
    rmSync(folder, { recursive: true })
    expect(count).toBeGreaterThan(0)
  })

  it('has types that resolve from ESM and from CommonJS with `skipLibCheck: false`', () => {
    const folder = project('module', peers)
    const code = `import * as face from '${specifier}'\nexport const names: string[] = Object.keys(face)\n`
    const files = ['use.mts', 'use.cts'].map((name) => join(folder, name))
    for (const file of files) writeFileSync(file, code)
    const errors = typeErrors(files)
    rmSync(folder, { recursive: true })
    expect(errors).toEqual([])
  })
})

const options: ts.CompilerOptions = {
  noEmit: true,
  strict: true,
  skipLibCheck: false,
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2023,
}

/** Files that are the same in each project are read once. */
const sources = new Map<string, ts.SourceFile | undefined>()

/** What a compiler says of these files and of each package they reach, but for those that are not of our choice. */
function typeErrors(files: readonly string[]): string[] {
  const host = ts.createCompilerHost(options)
  const getSourceFile = host.getSourceFile.bind(host)
  host.getSourceFile = (file, how, ...rest) => {
    const key = `${file} ${typeof how === 'object' ? how.impliedNodeFormat : ''}`
    if (!sources.has(key)) sources.set(key, getSourceFile(file, how, ...rest))
    return sources.get(key)
  }
  const program = ts.createProgram(files, { ...options, types: ['node'] }, host)
  const checked = program
    .getSourceFiles()
    .filter(({ fileName }) => !/\/(typescript|@types\/node|kysely)\//.test(fileName))
  return checked
    .flatMap((file) => ts.getPreEmitDiagnostics(program, file))
    .map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`)
}
