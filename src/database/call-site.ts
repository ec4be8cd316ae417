import { fileURLToPath } from 'node:url'
import type { CallSite } from './types.ts'

/** Where a query was built, and the loop around it. */
export interface CallSites {
  readonly callSite?: CallSite | undefined
  readonly loopSite?: CallSite | undefined
}

/** The stack at this moment, not yet formatted: about 2 us. */
export function captureStack(): { readonly stack?: string } {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 50
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, captureStack)
  Error.stackTraceLimit = limit
  return holder
}

/**
 * The lines of the user's code on a stack. The first of them built the query. The loop is the caller of `map`, `forEach`
 * and their like; without one it is the function that was running when the query was built, the last one before the
 * stack leaves the user's code: after an `await`, V8 has resumed exactly the function that awaits in its loop.
 */
export function callSitesOf({ stack = '' }: { readonly stack?: string }): CallSites {
  const frames = stack.split('\n').slice(1).map(parseFrame)
  const first = frames.findIndex((frame) => frame.site !== undefined)
  if (first === -1) return {}
  let loop = first
  for (let index = first; index < frames.length; index += 1) {
    const { site, iterates, async } = frames[index] as Frame
    if (iterates) {
      const caller = frames.slice(index).find((frame) => frame.site !== undefined)
      return { callSite: frames[first]?.site, loopSite: caller?.site ?? frames[loop]?.site }
    }
    // Code that was resumed from a queue says nothing about who runs now, unless there is nothing else.
    if (site === undefined || (async && !frames[first]?.async)) break
    loop = index
    if (async && index > first) break
  }
  return { callSite: frames[first]?.site, loopSite: frames[loop]?.site }
}

/** `findUser (/app/src/users.ts:12:5)`. */
export function formatCallSite({ function: name, file, line, column }: CallSite): string {
  const place = `${file}:${line}:${column}`
  return name === undefined ? place : `${name} (${place})`
}

interface Frame {
  /** Unset for Node's own frames, packages and this library. */
  readonly site: CallSite | undefined
  /** A built-in that calls a function for each item. */
  readonly iterates: boolean
  readonly async: boolean
}

const own = fileURLToPath(new URL('.', import.meta.url))
const iteration =
  /^(?:Array|Map|Set|Iterator|\w*Array)\.(?:map|forEach|flatMap|from|fromAsync|filter|reduce|some|every)$/

function parseFrame(line: string): Frame {
  const match = /^\s*at (?<async>async )?(?:(?<name>.+?) \()?(?<place>[^()]+?)\)?$/.exec(line)
  const { name, place = '' } = match?.groups ?? {}
  const async = match?.groups?.async !== undefined
  const position = /^(?<file>.+?):(?<line>\d+):(?<column>\d+)$/.exec(place)?.groups
  if (position === undefined) return { site: undefined, iterates: iteration.test(name ?? ''), async }
  const file = toPath(position.file as string)
  if (file.startsWith('node:') || file.includes('/node_modules/') || file.startsWith(own)) {
    return { site: undefined, iterates: false, async }
  }
  const site = { file, line: Number(position.line), column: Number(position.column) }
  return { site: name === undefined ? site : { function: name, ...site }, iterates: false, async }
}

function toPath(file: string): string {
  const path = file.startsWith('file://') ? fileURLToPath(file) : file
  return path.replaceAll('\\', '/')
}
