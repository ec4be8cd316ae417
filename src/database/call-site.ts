import { fileURLToPath } from 'node:url'
import type { CallSite } from './types.ts'

/** The line that built a query, and the line of the loop around it. */
export interface CallSites {
  readonly callSite?: CallSite | undefined
  readonly loopSite?: CallSite | undefined
}

/** Captures the current stack in about 2 us. The stack is formatted only when `stack` is read. */
export function captureStack(): { readonly stack?: string } {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 50
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, captureStack)
  Error.stackTraceLimit = limit
  return holder
}

/**
 * Finds the user's code on a stack. The first frame of the user's code built the query. The loop is the caller of `map`,
 * `forEach` or a similar built-in. Without such a call, it is the last frame before the stack leaves the user's code:
 * after an `await`, V8 resumes the function whose loop awaits, so that function is the outermost one on the stack.
 */
export function callSitesOf({ stack }: { readonly stack?: string }): CallSites {
  // The program's own `Error.prepareStackTrace` may return no text.
  if (typeof stack !== 'string') return {}
  const frames = stack.split('\n').slice(1).map(parseFrame)
  const first = frames.findIndex((frame) => frame.site !== undefined)
  if (first === -1) return {}
  let loop = first
  for (let index = first; index < frames.length; index += 1) {
    const { site, isIteration, isAsync } = frames[index] as Frame
    if (isIteration) {
      const caller = frames.slice(index).find((frame) => frame.site !== undefined)
      return { callSite: frames[first]?.site, loopSite: caller?.site ?? frames[loop]?.site }
    }
    // Async frames show who awaits, not who runs now. They count only if the user's first frame is async too.
    if (site === undefined || (isAsync && !frames[first]?.isAsync)) break
    loop = index
    if (isAsync && index > first) break
  }
  return { callSite: frames[first]?.site, loopSite: frames[loop]?.site }
}

/** `findUser (/app/src/users.ts:12:5)`. */
export function formatCallSite({ function: name, file, line, column }: CallSite): string {
  const place = `${file}:${line}:${column}`
  return name === undefined ? place : `${name} (${place})`
}

interface Frame {
  /** `undefined` for frames of Node, of packages and of this library. */
  readonly site: CallSite | undefined
  /** Whether the frame is a built-in that calls a function for each item. */
  readonly isIteration: boolean
  readonly isAsync: boolean
}

/**
 * The folder of this feature's sources, taken once from this file's path on a stack. Empty in the published package,
 * whose frames are in `node_modules`.
 */
let ownFolder: string | undefined

function findOwnFolder(): string {
  const { stack = '' } = captureStack()
  const file = /at .*?\(?([^()\s]+\/src\/database\/)call-site\.ts:/.exec(stack)?.[1]
  return file === undefined ? '' : toPath(file)
}

const iterationName =
  /^(?:Array|Map|Set|Iterator|\w*Array)\.(?:map|forEach|flatMap|from|fromAsync|filter|reduce|some|every)$/

function parseFrame(line: string): Frame {
  // Folders may have parentheses in their names, as `C:\\Program Files (x86)` and the route groups of Next.js do.
  const match = /^\s*at (?<async>async )?(?:(?<name>.+?) \((?<place>.+)\)|(?<alone>.+))$/.exec(line)
  const { name, alone = '', place = alone } = match?.groups ?? {}
  const isAsync = match?.groups?.async !== undefined
  const position = /^(?!eval at )(?<file>.+?):(?<line>\d+):(?<column>\d+)$/.exec(place)?.groups
  if (position === undefined) return { site: undefined, isIteration: iterationName.test(name ?? ''), isAsync }
  const file = toPath(position.file as string)
  if (file.startsWith('node:') || file.includes('/node_modules/') || isOwn(file)) {
    return { site: undefined, isIteration: false, isAsync }
  }
  const site = { file, line: Number(position.line), column: Number(position.column) }
  return { site: name === undefined ? site : { function: name, ...site }, isIteration: false, isAsync }
}

function isOwn(file: string): boolean {
  ownFolder ??= findOwnFolder()
  return ownFolder !== '' && file.startsWith(ownFolder)
}

function toPath(file: string): string {
  const path = file.startsWith('file://') ? fileURLToPath(file) : file
  return path.replaceAll('\\', '/')
}
