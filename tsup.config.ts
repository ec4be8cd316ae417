import { defineConfig, type Options } from 'tsup'
import { defineDashboard } from './scripts/dashboard.ts'

const config: Options = {
  entry: ['src/index.ts', 'src/express.ts', 'src/fastify.ts', 'src/hono.ts'],
  format: 'esm',
  target: 'node22',
  platform: 'node',
  dts: true,
  define: defineDashboard(),
  clean: true,
  splitting: true,
  treeshake: true,
}

export default defineConfig(config) as Options
