import { describe, expect, it } from 'vitest'
import { callSitesOf } from '../../src/database/call-site.ts'

/** The function, or file and line, of both places on a stack as V8 writes it. */
function sitesOn(...frames: string[]) {
  const { callSite, loopSite } = callSitesOf({
    stack: ['Error', ...frames.map((frame) => `    at ${frame}`)].join('\n'),
  })
  const short = (site: typeof callSite) => site && (site.function ?? `${site.file}:${site.line}`)
  return [short(callSite), short(loopSite)]
}

const kysely = 'SelectQueryBuilderImpl.execute (/app/node_modules/kysely/dist/select.js:10:5)'
const node = 'process.processTicksAndRejections (node:internal/process/task_queues:105:5)'

describe('callSitesOf', () => {
  it('takes the line that built the query, and the last function before the stack leaves the user’s code', () => {
    expect(
      sitesOn(kysely, 'load (/app/load.js:1:1)', 'list (/app/list.js:2:2)', node, 'late (/app/late.js:3:3)'),
    ).toEqual(['load', 'list'])
    expect(sitesOn(kysely, 'file:///app/top%20level.js:4:4')).toEqual(['/app/top level.js:4', '/app/top level.js:4'])
  })

  it('takes the caller of `map` for the loop', () => {
    const frames = [kysely, '/app/list.js:3:7', 'Array.map (<anonymous>)']
    expect(sitesOn(...frames, 'list (/app/list.js:2:2)')).toEqual(['/app/list.js:3', 'list'])
    // As with `setImmediate(ids.map.bind(ids, load))`: nobody of ours has called it.
    expect(sitesOn(...frames, 'process.processImmediate (node:internal/timers:504:21)')).toEqual([
      '/app/list.js:3',
      '/app/list.js:3',
    ])
  })

  it('stops where the code was resumed, unless all of it was', () => {
    const list = 'async list (/app/list.js:2:2)'
    expect(sitesOn(kysely, 'load (/app/load.js:1:1)', list)).toEqual(['load', 'load'])
    expect(sitesOn(`async ${kysely}`, 'async load (/app/load.js:1:1)', list, 'async main (/app/main.js:1:1)')).toEqual([
      'load',
      'list',
    ])
  })

  it('reads files in folders of any name', () => {
    const files = [
      '/app/(shop)/page.js',
      'webpack-internal:///(rsc)/./app/page.tsx',
      'C:\\Program Files (x86)\\app\\page.js',
      '/My App (1)/at (the) end.js',
      '/app/[id]/async page.js',
    ]
    for (const file of files) {
      const place = `${file.replaceAll('\\', '/')}:7`
      expect(sitesOn(kysely, `${file}:7:3`, node)).toEqual([place, place])
      expect(sitesOn(kysely, `Page.load [as run] (${file}:7:3)`, node)).toEqual([
        'Page.load [as run]',
        'Page.load [as run]',
      ])
    }
  })

  it('finds nothing on a stack without the user’s code, or none that it can read', () => {
    expect(sitesOn(kysely, node, 'new Promise (<anonymous>)', '<anonymous>')).toEqual([undefined, undefined])
    expect(sitesOn('eval (eval at run (/app/run.js:1:1), <anonymous>:1:1)')).toEqual([undefined, undefined])
    expect(callSitesOf({})).toEqual({})
    // What a program's own `Error.prepareStackTrace` may return.
    expect(callSitesOf({ stack: [] as never })).toEqual({})
  })
})
