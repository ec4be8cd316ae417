import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
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
  for (const name of [...Object.keys(dependencies), 'kysely', '@types/node', ...peers]) {
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
    for (const name of peers.filter((peer) => existsSync(`node_modules/@types/${peer}`))) {
      mkdirSync(join(folder, 'node_modules/@types'), { recursive: true })
      symlinkSync(resolve(`node_modules/@types/${name}`), join(folder, `node_modules/@types/${name}`))
    }
    const code = `import * as face from '${specifier}'\nexport const names: string[] = Object.keys(face)\n`
    for (const file of ['use.mts', 'use.cts']) writeFileSync(join(folder, file), code)
    const options = '--noEmit --strict --skipLibCheck false --module nodenext --target es2023 --types node'.split(' ')
    const tsc = resolve('node_modules/typescript/bin/tsc')
    const { stdout } = spawnSync(process.execPath, [tsc, ...options, 'use.mts', 'use.cts'], {
      cwd: folder,
      encoding: 'utf8',
    })
    rmSync(folder, { recursive: true })
    expect(stdout).toBe('')
  })
})
