import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createProject, hasTools, tool } from './support/packed.ts'

interface Configuration {
  readonly typescript: '54' | '57' | '58' | '59' | '60' | '70'
  readonly module: 'nodenext' | 'bundler' | 'node10'
  readonly type?: 'module' | 'commonjs'
  readonly kysely?: 'kysely' | 'kysely028'
  readonly options?: Readonly<Record<string, unknown>>
}

/** Below TypeScript 5.8 a CommonJS file cannot import an ES module such as Kysely 0.29. */
const configurations: readonly Configuration[] = [
  { typescript: '54', module: 'nodenext', kysely: 'kysely028' },
  { typescript: '54', module: 'bundler', kysely: 'kysely028' },
  { typescript: '54', module: 'node10', type: 'commonjs', kysely: 'kysely028' },
  { typescript: '57', module: 'nodenext' },
  { typescript: '58', module: 'nodenext', type: 'commonjs' },
  { typescript: '59', module: 'nodenext' },
  { typescript: '59', module: 'nodenext', options: { strict: false } },
  { typescript: '59', module: 'node10', type: 'commonjs', kysely: 'kysely028' },
  { typescript: '59', module: 'node10', type: 'commonjs', kysely: 'kysely028', options: { strictNullChecks: false } },
  { typescript: '60', module: 'nodenext', options: { exactOptionalPropertyTypes: true } },
  { typescript: '60', module: 'nodenext', type: 'commonjs' },
  { typescript: '60', module: 'node10', type: 'commonjs', options: { ignoreDeprecations: '6.0' } },
  { typescript: '60', module: 'bundler', options: { strictNullChecks: false } },
  { typescript: '70', module: 'nodenext' },
  { typescript: '70', module: 'nodenext', type: 'commonjs' },
  { typescript: '70', module: 'bundler', options: { exactOptionalPropertyTypes: true } },
  { typescript: '70', module: 'bundler', options: { strictNullChecks: false } },
]

describe.skipIf(!hasTools)('a file of realistic uses compiles', () => {
  it.concurrent.each(configurations)('$typescript, $module $type $kysely $options', async (configuration) => {
    expect(await errorsOf('uses.ts', configuration)).toEqual([])
  })
})

describe.skipIf(!hasTools)('the types of all that the package makes can be named by', () => {
  it.concurrent.each(['54', '57', '60', '70'] as const)('TypeScript %s', async (typescript) => {
    const kysely = typescript === '54' ? 'kysely028' : 'kysely'
    const options = { declaration: true, skipLibCheck: true }
    expect(await errorsOf('exports.ts', { typescript, module: 'nodenext', kysely, options })).toEqual([])
  })
})

async function errorsOf(
  file: string,
  { typescript, module, type = 'module', kysely = 'kysely', options }: Configuration,
) {
  const compiler = typescript === '60' ? resolve('node_modules/typescript') : tool(`typescript${typescript}`)
  const compilerOptions = {
    noEmit: true,
    strict: true,
    skipLibCheck: false,
    target: 'es2022',
    lib: ['es2022', ...(module === 'node10' ? ['esnext.disposable'] : [])],
    types: ['node'],
    ...(module === 'nodenext' ? { module, moduleResolution: module } : {}),
    ...(module === 'bundler' ? { module: 'esnext', moduleResolution: module } : {}),
    ...(module === 'node10' ? { module: 'commonjs', moduleResolution: module } : {}),
    ...options,
  }
  const project = createProject({
    type,
    packages: [`kysely=${resolve('node_modules', kysely)}`, '@types/node', 'undici-types', 'fastify', 'hono'],
    files: {
      [file]: readFileSync(`test/package/uses/${file}`, 'utf8'),
      'tsconfig.json': JSON.stringify({ compilerOptions, files: [file] }),
    },
  })
  const output = await new Promise<string>((done) => {
    execFile(process.execPath, [join(compiler, 'bin/tsc'), '--pretty', 'false'], { cwd: project.folder }, (_, stdout) =>
      done(stdout),
    )
  })
  project.remove()
  // Errors within other packages' own declarations are not ours.
  return output.split('\n').filter((line) => /^(uses\.ts|exports\.ts|node_modules\/posthaste\/|error)/.test(line))
}
