import type { ServerResponse } from 'node:http'
import { isDestroyed, type PendingEnd } from './pending-end.ts'
import { replaceMethods } from './response-head.ts'

/** The methods with which a handler answers through Node's response. */
export type AnswerMethods = Pick<ServerResponse, 'writeHead' | 'flushHeaders' | 'write' | 'end'>

/** Receives the calls with which a handler answers. */
export interface AnswerCalls {
  /** The answer, once the handler has ended it and until it is sent. */
  readonly pending: PendingEnd | undefined
  /** The head comes. */
  writeHead(args: readonly unknown[]): void
  /** The head must go before the body. */
  flushHeaders(): void
  /** A piece of the body comes. */
  write(args: readonly unknown[], piece: string | Uint8Array): boolean
  /** The answer ends. */
  end(args: readonly unknown[], given: EndArguments): void
}

/** The arguments of `end`. */
export interface EndArguments {
  readonly chunk: string | Uint8Array | undefined
  readonly encoding: string | undefined
  readonly done: (() => void) | undefined
}

/**
 * Passes the calls with which a handler answers to `calls`. Calls that Node refuses or ignores go to Node.
 *
 * The methods are replaced on this one response. They are not put back, because others may have replaced them since.
 *
 * @returns the methods as they were
 */
export function takeAnswerCalls(response: ServerResponse, calls: AnswerCalls): AnswerMethods {
  const { writeHead, flushHeaders, write, end } = response
  const isOver = () => response.writableEnded || isDestroyed(response)
  replaceMethods(response, {
    writeHead(...args: unknown[]) {
      if (isOver() || response.headersSent) return writeHead.apply(response, args as never)
      calls.writeHead(args)
      return response
    },
    flushHeaders() {
      // The head of a pending answer can still change.
      if (calls.pending !== undefined) return
      if (isOver()) flushHeaders.call(response)
      else calls.flushHeaders()
    },
    write(...args: unknown[]) {
      const [piece, encoding] = args
      const { pending } = calls
      if (pending !== undefined && (pending.refusesAny || isBody(response, piece, encoding))) {
        return pending.refuseWrite(args.at(-1))
      }
      if (isOver() || !isBody(response, piece, encoding)) return write.apply(response, args as never)
      return calls.write(args, piece)
    },
    end(...args: unknown[]) {
      const { chunk, encoding, done } = readEnd(args)
      const { pending } = calls
      if (pending !== undefined) {
        if (!pending.refuseEnd(chunk, done)) end.apply(response, args as never)
        return response
      }
      if (isOver() || !(chunk === undefined || isBody(response, chunk, encoding))) {
        return end.apply(response, args as never)
      }
      calls.end(args, { chunk, encoding, done })
      return response
    },
  })
  return { writeHead, flushHeaders, write, end }
}

/**
 * Asks middleware within for the head now, so that an error reaches the handler and the head counts as sent. It is asked
 * once: when Node compiles the head again, that asks only middleware around.
 */
export function askForHead(response: ServerResponse, { writeHead }: AnswerMethods): void {
  response.writeHead(response.statusCode)
  replaceMethods(response, { writeHead })
}

/** How a handler has ended an answer that came in one piece. */
export interface WholeEnd {
  /** The arguments of `end`. */
  readonly args: readonly unknown[]
  readonly done: (() => void) | undefined
  /** Whether the handler had given the head before. */
  readonly wasCompiled: boolean
}

/** @param body - `undefined` sends the handler's own */
export function sendWhole(
  response: ServerResponse,
  node: AnswerMethods,
  body: Uint8Array | null | undefined,
  { args, done, wasCompiled }: WholeEnd,
): void {
  if (wasCompiled) node.writeHead.call(response, response.statusCode)
  if (body === undefined) node.end.apply(response, args as never)
  else node.end.call(response, body, 'utf8', done)
}

/** `end(done)`, `end(chunk, done)`, `end(chunk, encoding, done)`. */
function readEnd([first, second, third]: readonly unknown[]): Omit<EndArguments, 'chunk'> & { chunk: unknown } {
  if (typeof first === 'function') return { chunk: undefined, encoding: undefined, done: first as () => void }
  const chunk = first ?? undefined
  if (typeof second === 'function') return { chunk, encoding: undefined, done: second as () => void }
  return { chunk, encoding: (second as string | undefined) ?? undefined, done: third as (() => void) | undefined }
}

/** Whether Node takes the chunk for a part of the body. Over HTTP/2 it takes any view of bytes. */
function isBody(response: ServerResponse, chunk: unknown, encoding: unknown): chunk is string | Uint8Array {
  const isBytes = chunk instanceof Uint8Array || (ArrayBuffer.isView(chunk) && response.req.httpVersionMajor > 1)
  if (!isBytes && typeof chunk !== 'string') return false
  return typeof encoding !== 'string' || Buffer.isEncoding(encoding) || (isBytes && encoding === 'buffer')
}

export function toBody(chunk: string | Uint8Array | undefined, encoding: string | undefined): string | Buffer {
  if (chunk === undefined) return ''
  if (typeof chunk !== 'string') return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  return encoding === undefined || encoding === 'utf8' || encoding === 'utf-8'
    ? chunk
    : Buffer.from(chunk, encoding as BufferEncoding)
}
