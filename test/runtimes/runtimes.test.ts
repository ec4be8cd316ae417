import { execFileSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createProject } from '../package/support/packed.ts'
import { cases, type RuntimeName } from './suite/index.ts'
import { hasRuntimes, type Results, runSuite, runtimes } from './support/runtimes.ts'

if (!hasRuntimes) {
  const message = 'SKIPPED: the runtimes are not installed. `npm run test:runtimes` installs them.'
  if (process.env.REQUIRE_SERVICES === '1') throw new Error(message)
  console.warn(`\n  ${message}\n`)
}

describe.runIf(hasRuntimes)('the packed build', () => {
  describe.each(Object.keys(runtimes) as RuntimeName[])('in %s', (runtime) => {
    let results: Results
    beforeAll(async () => {
      results = await runSuite(runtime)
    }, 120_000)

    for (const { name, lacking } of cases) {
      if (lacking[runtime] !== undefined) it.skip(`${name} (${runtime} has no ${lacking[runtime]})`)
      else it(name, () => expect(results[name]).toBeNull())
    }
  })

  it('makes a cache in Deno without any permission', () => {
    const project = createProject({
      files: {
        'main.mjs': `import { createCache } from 'posthaste/cache'
          const cache = createCache()
          console.log(await cache.getOrSet('key', () => 'value'))`,
      },
    })
    try {
      project.write('package.json', JSON.stringify({ type: 'module', dependencies: { posthaste: '*' } }))
      const deno = join(resolve('test/runtimes/node_modules'), '.bin/deno')
      const args = ['run', '--no-prompt', '--node-modules-dir=manual', 'main.mjs']
      expect(execFileSync(deno, args, { cwd: project.folder, encoding: 'utf8' })).toBe('value\n')
    } finally {
      project.remove()
    }
  })
})
