import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { defineDashboard } from './scripts/dashboard.ts'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

/** Tests import the faces by their public names and get the sources. */
const faces = ['express', 'fastify', 'hono'].map((face) => ({
  find: `posthaste/${face}`,
  replacement: path(`./src/${face}.ts`),
}))
const alias = [...faces, { find: /^posthaste$/, replacement: path('./src/index.ts') }]

const config: ViteUserConfig = defineConfig({
  define: defineDashboard(),
  test: {
    globalSetup: './test/support/global-setup.ts',
    testTimeout: 20_000,
    // Many tests wait for a server or a clock, so more of them than there are processors keep these busy.
    maxWorkers: 4,
    // Loading the library anew for each file would cost a third of the time. What a test changes globally, it puts back.
    isolate: false,
    // They also share these with the servers and browsers they start, which now and then makes one miss its time.
    retry: 2,
    // A busy machine takes longer than the second that is the default.
    expect: { poll: { timeout: 10_000 } },
    coverage: {
      provider: 'v8',
      include: ['src/**'],
      // These run, and are tested, where this process cannot count: in a browser, and in the workers of a cluster.
      exclude: ['src/dashboard/client/**', 'src/monitor/fleet/cluster.ts'],
      reporter: ['text', 'json-summary'],
    },
    projects: [
      {
        extends: true,
        resolve: { alias },
        test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/package/**'] },
      },
      {
        // The oldest Kysely that is promised, for whatever builds or runs queries.
        extends: true,
        resolve: { alias: [...alias, { find: /^kysely$/, replacement: 'kysely028' }] },
        test: {
          name: 'kysely-0.28',
          include: ['test/{pagination,database}/**/*.test.ts'],
          // These never meet Kysely, or meet it where the majors do not differ.
          exclude: ['test/pagination/{list-query,fields,link-header,explain}*', 'test/database/{pg-pool,mysql-pool}*'],
        },
      },
      {
        extends: true,
        test: {
          name: 'package',
          include: ['test/package/**/*.test.ts'],
          globalSetup: './test/package/setup.ts',
          testTimeout: 120_000,
        },
      },
    ],
  },
})

export default config
