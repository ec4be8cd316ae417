import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const client = (file: string) => fileURLToPath(new URL(`../src/dashboard/client/${file}`, import.meta.url))

/**
 * The live page's browser code, bundled and minified, as values for the `define` of tsup and vitest: `src/dashboard/page.ts`
 * names them. So one line in each configuration is all the machinery; nothing generated is committed or can be out of
 * date, a clean clone needs no step before its tests, and the library at run time reads no file.
 */
export function defineDashboard(): { DASHBOARD_SCRIPT: string; DASHBOARD_STYLE: string } {
  return { DASHBOARD_SCRIPT: JSON.stringify(bundle('main.ts')), DASHBOARD_STYLE: JSON.stringify(bundle('page.css')) }
}

function bundle(file: string): string {
  const { outputFiles } = buildSync({
    entryPoints: [client(file)],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    banner: file.endsWith('.ts')
      ? { js: '/*! d3-array, d3-path: Copyright 2010-2026 Mike Bostock, ISC licence */' }
      : {},
    // Browsers of 2024: `light-dark()` of the style sheet is as young.
    target: ['chrome123', 'firefox121', 'safari17.5'],
    // The page goes over the wire as UTF-8.
    charset: 'utf8',
    logLevel: 'warning',
  })
  return (outputFiles[0]?.text ?? '').trim()
}
