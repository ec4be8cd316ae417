import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createProject, hasTools, tool } from './support/packed.ts'

/** Jest runs CommonJS unless it is told otherwise, so ES modules must be transformed, Kysely 0.29 included. */
const transformIgnorePatterns = ['/node_modules/(?!(kysely|posthaste)/)']

const test = `
import { DummyDriver, Kysely, SqliteAdapter, SqliteQueryCompiler } from 'kysely'
import { createCache, cursorPaginate, PerformanceMonitor, QueryUnsupportedError } from 'posthaste'
import { monitorRequests } from 'posthaste/express'

const dialect = {
  createAdapter: () => new SqliteAdapter(),
  createDriver: () => new DummyDriver(),
  createIntrospector: () => { throw new Error('not needed') },
  createQueryCompiler: () => new SqliteQueryCompiler(),
}

test('pages', async () => {
  const db = new Kysely<{ users: { id: number } }>({ dialect })
  const page = await cursorPaginate(db.selectFrom('users').select('id'), { unique: 'id' })
  expect(page.items).toEqual([])
  expect(QueryUnsupportedError.name).toBe('QueryUnsupportedError')
})

test('caches', async () => {
  const cache = createCache()
  expect(await cache.getOrSet('key', () => 1)).toBe(1)
  await cache.close()
})

test('monitors', async () => {
  const monitor = new PerformanceMonitor()
  expect(typeof monitorRequests(monitor)).toBe('function')
  monitor.record('GET', '/', 200, monitor.start())
  expect(monitor.snapshot().requests.count).toBe(1)
  expect(await monitor.toHdr('GET', '/')).toMatch(/^HIST/)
  await monitor.close()
})
`

const transformers = {
  babel: {
    file: 'use.test.js',
    text: test.replace('<{ users: { id: number } }>', ''),
    transform: {
      '\\.js$': [tool('babel-jest'), { presets: [[tool('@babel/preset-env'), { targets: { node: 'current' } }]] }],
    },
  },
  swc: { file: 'use.test.ts', text: test, transform: { '\\.[jt]s$': [tool('@swc/jest')] } },
  'ts-jest': {
    file: 'use.test.ts',
    text: test,
    transform: {
      '\\.[jt]s$': [tool('ts-jest'), { tsconfig: { allowJs: true, module: 'commonjs', isolatedModules: true } }],
    },
  },
}

describe.skipIf(!hasTools)('Jest', () => {
  it.each(Object.entries(transformers))(
    'runs with %s',
    (_name, { file, text, transform }) => {
      const config = { rootDir: '.', testEnvironment: 'node', transform, transformIgnorePatterns }
      const project = createProject({
        type: 'commonjs',
        packages: ['kysely'],
        files: { [file]: text, 'jest.config.json': JSON.stringify(config) },
      })
      const jest = join(tool('jest'), 'bin/jest.js')
      const { stderr, status } = spawnSync(
        process.execPath,
        [jest, '--cacheDirectory', join(project.folder, 'cache')],
        {
          cwd: project.folder,
          encoding: 'utf8',
        },
      )
      project.remove()
      expect(stderr).toContain('3 passed')
      expect(status).toBe(0)
    },
    300_000,
  )

  it('is documented with the setting that the tests use', () => {
    expect(readFileSync(resolve('docs/recipes/testing.md'), 'utf8')).toContain(
      `transformIgnorePatterns: ${JSON.stringify(transformIgnorePatterns).replaceAll('"', "'")}`,
    )
  })
})
