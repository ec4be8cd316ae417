import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { defineDashboard } from './scripts/dashboard.ts'
import { packed } from './test/package/support/packed.ts'
import { publicSuites } from './test/support/public-suites.ts'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

/** Tests import the faces by their public names and get the sources. */
const alias = [
  { find: /^posthaste$/, replacement: path('./src/index.ts') },
  { find: /^posthaste\/([a-z]+)$/, replacement: `${path('./src')}/$1.ts` },
]

/** The same names, as npm would install them. */
const packedAlias = [
  { find: /^posthaste$/, replacement: `${packed}/dist/index.js` },
  { find: /^posthaste\/([a-z]+)$/, replacement: `${packed}/dist/$1.js` },
]

/** Long tests in small files, which would run last, when nothing is left to run beside them. */
const longTests = /\/test\/(?:cache\/torture|dashboard\/browser|database\/pool\/pg-pool)\.test\.ts$/

class LongTestsFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId, project }: TestSpecification) => project.name === 'unit' && longTests.test(moduleId)
    const others = sorted.filter((file) => !isLong(file))
    const start = others.findIndex(({ project }) => project.name === 'unit')
    return others.toSpliced(Math.max(0, start), 0, ...sorted.filter(isLong))
  }
}

const config: ViteUserConfig = defineConfig({
  define: defineDashboard(),
  test: {
    globalSetup: './test/support/global-setup.ts',
    setupFiles: path('./test/support/seed.ts'),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Many tests wait for a server or a clock, so more of them than there are processors keep these busy.
    maxWorkers: 4,
    // Loading the library anew for each file would cost a third of the time. What a test changes globally, it puts back.
    isolate: false,
    sequence: { sequencer: LongTestsFirst },
    // A busy machine takes longer than the second that is the default.
    expect: { poll: { timeout: 20_000 } },
    coverage: {
      provider: 'v8',
      include: ['src/**'],
      // These run, and are tested, where this process cannot count: in a browser, and in the workers of a cluster.
      exclude: ['src/dashboard/client/**', 'src/monitor/fleet/cluster-fleet.ts'],
      reporter: ['text', 'json-summary'],
    },
    projects: [
      {
        extends: true,
        resolve: { alias },
        test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/{package,runtimes}/**'] },
      },
      {
        // The oldest Kysely that is promised, for whatever builds or runs queries.
        extends: true,
        resolve: { alias: [...alias, { find: /^kysely$/, replacement: 'kysely028' }] },
        test: {
          name: 'kysely-0.28',
          include: ['test/{pagination,database}/**/*.test.ts'],
          // These never meet Kysely, or meet it where the majors do not differ.
          exclude: [
            'test/pagination/{list-query,explain}/**',
            'test/pagination/link-header*',
            'test/database/pool/*',
            'test/database/classify-error*',
            'test/database/cancel/{pgbouncer,mysql-proxies}*',
          ],
        },
      },
      {
        // What is installed behaves as the sources do. Heaps and times at scale are measured once, on the sources; so is
        // the live page in a browser, whose script and style `test/package/live-page` compares.
        extends: true,
        resolve: { alias: packedAlias },
        test: {
          name: 'packed',
          include: publicSuites().filter((suite) => !/\/(?:scale|browser)\.test\.ts$/.test(suite)),
          globalSetup: './test/package/setup.ts',
        },
      },
      {
        // The same cases in all runtimes. Their suite is imported here for its names.
        extends: true,
        resolve: { alias: packedAlias },
        test: {
          name: 'runtimes',
          include: ['test/runtimes/*.test.ts'],
          globalSetup: './test/package/setup.ts',
        },
      },
      {
        extends: true,
        test: {
          name: 'package',
          include: ['test/package/**/*.test.ts'],
          globalSetup: './test/package/setup.ts',
          testTimeout: 300_000,
        },
      },
    ],
  },
})

export default config
