import type { ServerResponse } from 'node:http'
import { isBun } from '../../shared/platform/runtime.ts'

/** What Node derives from the head of an HTTP/1 response when it compiles the head to text. */
interface CompiledState {
  _header: string | null
  _headerSent: boolean
  _contentLength: number | null
  _last: boolean
  _hasBody: boolean
  _defaultKeepAlive: boolean
  chunkedEncoding: boolean
  shouldKeepAlive: boolean
  statusMessage: string
}

type Http1Response = ServerResponse & CompiledState

interface CompiledHead {
  /** The arguments of `writeHead`. */
  readonly args: readonly unknown[]
  readonly statusCode: number
  readonly before: CompiledState
}

const compiledHeads = new WeakMap<ServerResponse, CompiledHead>()

/**
 * Whether a head that Node has compiled can be opened again while none of its bytes are sent. HTTP/2 and Bun send the head as
 * soon as it is written.
 */
export function canReopen(response: ServerResponse): boolean {
  return !isBun && (response as Http1Response)._header === null
}

/**
 * Lets Node compile the head: it throws for a bad head, and from then on it reports and behaves as after `writeHead()`. Nothing
 * is sent, so that {@link reopenHead} can undo it.
 *
 * Middleware that has replaced `writeHead` is left out: it is asked when the head is final.
 */
export function compileHead(response: ServerResponse, args: readonly unknown[]): void {
  const { statusMessage, chunkedEncoding, shouldKeepAlive, _header, _headerSent, _contentLength, _last, _hasBody } =
    response as Http1Response
  const { _defaultKeepAlive } = response as Http1Response
  const before = { statusMessage, chunkedEncoding, shouldKeepAlive, _header, _headerSent, _contentLength, _last }
  const { writeHead } = Object.getPrototypeOf(response) as ServerResponse
  writeHead.apply(response, args as never)
  const { statusCode } = response
  compiledHeads.set(response, { args, statusCode, before: { ...before, _hasBody, _defaultKeepAlive } })
}

/**
 * Opens a head that {@link compileHead} has compiled, so that it can change: its headers are all set, none is sent.
 *
 * @returns whether there was one
 */
export function reopenHead(response: ServerResponse): boolean {
  const head = compiledHeads.get(response)
  if (head === undefined || (response as Http1Response)._headerSent) return false
  compiledHeads.delete(response)
  Object.assign(response, head.before)
  response.statusCode = head.statusCode
  const { message, headers } = readHeadArguments(head.args)
  if (message !== undefined) response.statusMessage = message
  // Node does not set the headers of `writeHead` when no others are set.
  if (response.getHeaderNames().length === 0) setHeaders(response, headers)
  return true
}

/**
 * Sets what `writeHead` was given, where a head cannot be opened again.
 *
 * @throws TypeError for the headers for which Node throws one
 */
export function stageHead(response: ServerResponse, args: readonly unknown[]): void {
  const { message, headers } = readHeadArguments(args)
  // HTTP/2 has no status message, and warns of one.
  if (message !== undefined && isBun) response.statusMessage = message
  if (headers === null) throw new TypeError('Cannot convert undefined or null to object')
  if (Array.isArray(headers) && !Array.isArray(headers[0]) && headers.length % 2 !== 0) {
    throw Object.assign(new TypeError("The argument 'headers' is invalid"), { code: 'ERR_INVALID_ARG_VALUE' })
  }
  const status = args[0] as number
  // Let Node reject any other.
  if (status >= 200 && status < 600) response.statusCode = status
  setHeaders(response, headers)
}

/** `writeHead(status, headers)`, `writeHead(status, message, headers)`. */
function readHeadArguments([, first, second]: readonly unknown[]): { message: string | undefined; headers: unknown } {
  return typeof first === 'string'
    ? { message: first, headers: second }
    : { message: undefined, headers: second ?? first }
}

/** As `writeHead` takes them: an object, a flat list of names and values, or a list of pairs. */
function setHeaders(response: ServerResponse, headers: unknown): void {
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value as string)
    return
  }
  const pairs = pairsOf(headers)
  for (const [name] of pairs) response.removeHeader(name)
  for (const [name, value] of pairs) response.appendHeader(name, value)
}

type HeaderPair = readonly [name: string, value: string | readonly string[]]

function pairsOf(headers: readonly unknown[]): readonly HeaderPair[] {
  if (Array.isArray(headers[0])) return headers as readonly HeaderPair[]
  return Array.from({ length: headers.length / 2 }, (_, index) => headers.slice(index * 2, index * 2 + 2)) as never
}

/** The headers of a response with those that `writeHead` is given, by their names in lower case. */
export function headersWith(response: ServerResponse, args: readonly unknown[]): Record<string, unknown> {
  const all: Record<string, unknown> = { ...response.getHeaders() }
  const { headers } = readHeadArguments(args)
  const given = Array.isArray(headers) ? pairsOf(headers) : Object.entries(headers ?? {})
  const names = new Set<string>()
  for (const [name, value] of given) {
    const key = String(name).toLowerCase()
    all[key] = names.has(key) && Array.isArray(headers) ? [all[key], value].flat() : value
    names.add(key)
  }
  return all
}

/** Headers to set and to remove. */
export interface HeadChange {
  readonly set: Readonly<Record<string, string>>
  readonly remove: readonly string[]
}

/**
 * Changes a head that is not compiled. A length is replaced but never added: where the handler gave none, Node knows best
 * how to delimit the body, which may have trailers or come without keep-alive.
 *
 * @returns a function that undoes the change, for a head that Node has refused
 */
export function changeHead(response: ServerResponse, { set, remove }: HeadChange): () => void {
  const before: [name: string, value: number | string | string[] | undefined][] = []
  for (const name of remove) {
    const value = response.getHeader(name)
    if (value === undefined || set[name] !== undefined) continue
    before.push([name, value])
    response.removeHeader(name)
  }
  for (const name of Object.keys(set)) {
    const value = response.getHeader(name)
    if (name === 'content-length' && value === undefined) continue
    before.push([name, value])
    response.setHeader(name, set[name] as string)
  }
  return () => {
    if (response.headersSent) return
    for (const [name, value] of before) {
      if (value === undefined) response.removeHeader(name)
      else response.setHeader(name, value)
    }
  }
}

/**
 * Replaces methods of one response. `response.end = () => …` would be slow: a function that is stored that way keeps its
 * response, and all that came before, out of reach of the quick garbage collections of Node 24. Collections then take up to
 * a fifth of a request's time.
 */
export function replaceMethods(response: ServerResponse, methods: Readonly<Record<string, unknown>>): void {
  Object.assign(response, methods)
}

/** Calls the function right before the head of a response is compiled. The head is then complete except for the change. */
export function beforeHead(response: ServerResponse, change: () => HeadChange): void {
  const { writeHead } = response
  let isChanged = false
  const changeAndWrite = (...args: unknown[]) => {
    if (isChanged || response.headersSent) return writeHead.apply(response, args as never)
    // With the status alone, Node itself makes the call, and the head is set.
    if (args.length > 1 || args[0] !== response.statusCode) {
      if (canReopen(response)) {
        compileHead(response, args)
        reopenHead(response)
      } else {
        stageHead(response, args)
      }
    }
    const undo = changeHead(response, change())
    isChanged = true
    try {
      return writeHead.call(response, response.statusCode)
    } catch (error) {
      isChanged = false
      undo()
      throw error
    }
  }
  replaceMethods(response, { writeHead: changeAndWrite })
}
