import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import fc from 'fast-check'

/** One call that a handler makes on its response, or a pause between two. */
export type Step =
  | { readonly call: 'setHeader'; readonly args: readonly [string, unknown] }
  | { readonly call: 'appendHeader'; readonly args: readonly [string, string] }
  | { readonly call: 'removeHeader'; readonly args: readonly [string] }
  | { readonly call: 'writeHead'; readonly args: readonly unknown[] }
  | { readonly call: 'write' | 'end'; readonly args: readonly unknown[] }
  | { readonly call: 'flushHeaders'; readonly args: readonly [] }
  | { readonly call: 'addTrailers'; readonly args: readonly [Readonly<Record<string, string>>] }
  | { readonly call: 'status'; readonly args: readonly [number, string | undefined] }
  | { readonly call: 'pipe' | 'destroy' | 'throw' | 'turn' | 'wait'; readonly args: readonly unknown[] }

/** What the handler could see of its calls and of the response. */
export interface Seen {
  readonly steps: string[]
  readonly callbacks: string[]
  readonly errors: string[]
  /** The response was destroyed: how much of it arrives is a matter of time. */
  isCut: boolean
}

const longText = 'All work and no play makes Jack a dull boy. '
const body = fc.oneof(
  fc.constantFrom<unknown>(
    '',
    'short',
    longText.repeat(40),
    Buffer.from(longText.repeat(60)),
    new Uint8Array([104, 105]),
  ),
  fc.constantFrom<unknown>(longText.repeat(1_000), Buffer.alloc(200_000, 'abcdefgh'), 'ä'.repeat(900)),
  { weight: 1, arbitrary: fc.constantFrom<unknown>(null, undefined, 7, {}) },
  // Over HTTP/2 Node takes them.
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(new Uint16Array([26_728, 27_000]), new DataView(new ArrayBuffer(2_000))),
  },
)
const value = fc.constantFrom<unknown>('a', 'b', ['1', '2'], 5, 'no\nline', undefined)
const name = fc.constantFrom('x-a', 'X-B', 'Content-Type', 'vary', 'etag', 'trailer', 'bad name', 'connection')
const header = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom('x-a', 'X-B', 'x-c'), fc.constantFrom<unknown>('a', ['1', '2'], 5)),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom<[string, unknown]>(
      ['Content-Type', 'text/plain'],
      ['content-type', 'image/png'],
      ['ETag', '"1"'],
      ['Vary', 'Origin'],
      ['Cache-Control', 'no-transform'],
      ['Trailer', 'x-t'],
      ['Connection', 'close'],
      ['Transfer-Encoding', 'chunked'],
      ['Accept-Ranges', 'bytes'],
      ['content-encoding', 'identity'],
      ['Content-Disposition', 'inline; filename="a.txt"'],
    ),
  },
  { weight: 1, arbitrary: fc.tuple(name, value) },
)
const status = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(200, 201, 404, 500) },
  { weight: 2, arbitrary: fc.constantFrom(204, 206, 301, 304) },
  { weight: 1, arbitrary: fc.constantFrom(1000, 99, 'no' as unknown as number) },
)
const message = fc.option(
  fc.oneof({ weight: 4, arbitrary: fc.constant('Fine') }, { weight: 1, arbitrary: fc.constant('two\nlines') }),
  { nil: undefined, freq: 2 },
)
const headArguments = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom<unknown[]>([200, null], [200, 'Fine', null], [200, ['x-a']]) },
  status.map((code): unknown[] => [code]),
  fc.tuple(status, message).map((args): unknown[] => [...args]),
  fc.tuple(status, fc.array(header, { maxLength: 3 })).map(([code, all]): unknown[] => [code, Object.fromEntries(all)]),
  fc
    .tuple(status, message, fc.array(header, { maxLength: 3 }))
    .map(([code, text, all]): unknown[] => [code, text, Object.fromEntries(all)]),
  fc.tuple(status, fc.array(header, { maxLength: 3 })).map(([code, all]): unknown[] => [code, all.flat()]),
  fc.tuple(status, fc.array(header, { minLength: 1, maxLength: 3 })).map(([code, all]): unknown[] => [code, all]),
)
const encoding = fc.constantFrom<unknown>(undefined, 'utf8', 'latin1', 'utf16le', 'bogus')
const bodyArguments = fc.oneof(
  { weight: 5, arbitrary: body.map((chunk): unknown[] => [chunk]) },
  { weight: 1, arbitrary: fc.tuple(body, encoding).map((args): unknown[] => args) },
  { weight: 2, arbitrary: fc.tuple(body, encoding).map((args): unknown[] => [...args, 'callback']) },
  { weight: 1, arbitrary: body.map((chunk): unknown[] => [chunk, 'callback']) },
)
const step = fc.oneof(
  { weight: 6, arbitrary: header.map((args): Step => ({ call: 'setHeader', args })) },
  { weight: 1, arbitrary: header.map(([key]): Step => ({ call: 'appendHeader', args: [key, 'more'] })) },
  { weight: 2, arbitrary: header.map(([key]): Step => ({ call: 'removeHeader', args: [key] })) },
  { weight: 3, arbitrary: headArguments.map((args): Step => ({ call: 'writeHead', args })) },
  { weight: 6, arbitrary: bodyArguments.map((args): Step => ({ call: 'write', args })) },
  { weight: 4, arbitrary: bodyArguments.map((args): Step => ({ call: 'end', args })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Step>(
      { call: 'end', args: [] },
      { call: 'end', args: ['callback'] },
      { call: 'flushHeaders', args: [] },
    ),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ call: 'addTrailers', args: [{ 'x-t': 'end' }] }) },
  {
    weight: 2,
    arbitrary: fc.tuple(status, message).map(([code, text]): Step => ({ call: 'status', args: [code, text] })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Step>(
      { call: 'pipe', args: [] },
      { call: 'destroy', args: [] },
      { call: 'throw', args: [] },
    ),
  },
  { weight: 3, arbitrary: fc.constantFrom<Step>({ call: 'turn', args: [] }, { call: 'wait', args: [] }) },
)

/** Programs of random calls. Many begin as handlers do, with a type that compresses, and some with a name in Latin-1. */
export const programs: fc.Arbitrary<readonly Step[]> = fc
  .tuple(fc.boolean(), fc.boolean(), fc.array(step, { minLength: 1, maxLength: 8 }))
  .map(([isText, isNamed, steps]) => [
    ...(isNamed ? [{ call: 'setHeader', args: ['X-Name', 'Müller'] } as Step] : []),
    ...(isText ? [{ call: 'setHeader', args: ['Content-Type', 'text/plain; charset=utf-8'] } as Step] : []),
    ...steps,
  ])

/** Runs a program on a response, and then ends it, as the error handler of a framework does. */
export async function runProgram(
  program: readonly Step[],
  request: IncomingMessage,
  response: ServerResponse,
  seen: Seen,
): Promise<void> {
  response.on('error', (error: NodeJS.ErrnoException) => seen.errors.push(error.code ?? error.message))
  try {
    for (const one of program) {
      try {
        if (one.call === 'turn') await new Promise(setImmediate)
        else if (one.call === 'wait') await new Promise((resolve) => setTimeout(resolve, 3))
        else callOn(response, one, seen)
        seen.steps.push(`${one.call} ${response.headersSent} ${response.writableEnded}`)
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        seen.steps.push(`${one.call} threw ${code ?? message} ${response.headersSent} ${response.writableEnded}`)
        throw error
      }
    }
    // A pipe ends the response.
    if (program.at(-1)?.call !== 'pipe') response.end()
  } catch {
    if (response.headersSent && !response.writableEnded) seen.isCut = true
    answerError(request, response)
  }
}

function callOn(response: ServerResponse, { call, args }: Step, seen: Seen): void {
  if (call === 'status') {
    response.statusCode = args[0]
    if (args[1] !== undefined && request1(response)) response.statusMessage = args[1]
    return
  }
  if (call === 'destroy') seen.isCut = true
  if (call === 'throw') throw new Error('thrown')
  if (call === 'pipe') {
    Readable.from([longText.repeat(30), longText.repeat(30), 'end'], { objectMode: false }).pipe(response)
    return
  }
  // `appendHeader` changes the list that was set.
  const given = structuredClone(args).map((arg) =>
    arg === 'callback'
      ? (error?: NodeJS.ErrnoException | null) => seen.callbacks.push(`${call} ${error?.code ?? 'done'}`)
      : arg,
  )
  const method = response[call as 'write'] as (...args: readonly unknown[]) => unknown
  method.apply(response, given)
}

function request1(response: ServerResponse): boolean {
  return response.req.httpVersionMajor === 1
}

/** As the last handler of Express does. */
function answerError(request: IncomingMessage, response: ServerResponse): void {
  if (response.headersSent) {
    if (!response.writableEnded) request.socket?.destroy()
    return
  }
  for (const key of response.getHeaderNames()) response.removeHeader(key)
  response.statusCode = 500
  if (request1(response)) response.statusMessage = 'Failed'
  response.setHeader('content-type', 'text/html')
  response.setHeader('content-length', '4')
  response.end('oops')
}
