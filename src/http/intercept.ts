import type { ServerResponse } from 'node:http'
import type { Transform } from 'node:stream'

/** Decides what becomes of an answer that a handler gives through Node's response. */
export interface Interceptor {
  /**
   * The body came in one piece, and the head is not sent.
   *
   * @returns what changes the head and gives the body to send; while it is promised, what the handler does has no effect
   */
  whole(body: Buffer | string): FinishAnswer | Promise<FinishAnswer>
  /** The body comes in pieces, or the head must go first: what to write them to, or nothing to send them as they are. */
  pieces(): Transform | undefined
}

export type FinishAnswer = () => string | Uint8Array | undefined

/**
 * Puts an {@link Interceptor} between a handler and its response. For the handler nothing changes, but that the head is sent
 * with the first bytes of the body, even after `writeHead()`. The methods are replaced on this one object, and stay, because
 * others may have replaced them since: once all is decided they hand everything on. The last interceptor is asked first.
 */
export function intercept(response: ServerResponse, interceptor: Interceptor): void {
  const { write, end, writeHead, flushHeaders } = response
  let isDecided = false
  let isHeld = false
  let encoder: Transform | undefined

  const begin = () => {
    if (isDecided) return
    isDecided = true
    encoder = interceptor.pieces()
    if (encoder !== undefined) divert(response, encoder, { write, end })
  }
  const send = (finish: FinishAnswer) => end.call(response, finish(), 'utf8')

  /** A handler that goes on after its answer, or fails, must find the answer given. */
  const sendLater = (promised: Promise<FinishAnswer>) => {
    const { statusCode } = response
    const release = () => {
      isHeld = false
      Reflect.deleteProperty(response, 'headersSent')
      response.statusCode = statusCode
    }
    isHeld = true
    Object.defineProperty(response, 'headersSent', { value: true, configurable: true })
    promised.then(
      (finish) => {
        release()
        if (!response.destroyed) send(finish)
      },
      (error) => {
        release()
        response.destroy(error)
      },
    )
  }

  response.writeHead = (...args: unknown[]) =>
    isDecided ? writeHead.apply(response, args as never) : stageHead(response, args)
  response.flushHeaders = () => {
    begin()
    flushHeaders.call(response)
  }
  response.write = (...args: unknown[]) => {
    begin()
    if (isHeld) return false
    return encoder === undefined ? write.apply(response, args as never) : encoder.write(...(args as [chunk: unknown]))
  }
  response.end = (...args: unknown[]) => {
    if (isHeld) return response
    const { chunk, encoding, done } = readEnd(args)
    const isBody = chunk === undefined || typeof chunk === 'string' || chunk instanceof Uint8Array
    // What is no body is left to Node, for the error that it throws.
    if (encoder === undefined && (isDecided || !isBody)) return end.apply(response, args as never)
    if (done !== undefined) response.once('finish', done)
    if (encoder !== undefined) {
      encoder.end(chunk, encoding as BufferEncoding)
      return response
    }
    isDecided = true
    const finish = interceptor.whole(toBody(chunk as string | Uint8Array | undefined, encoding))
    if (finish instanceof Promise) sendLater(finish)
    else send(finish)
    return response
  }
}

/** Calls the function before the head of a response is sent, when it is complete but for what the function changes. */
export function beforeHead(response: ServerResponse, change: () => void): void {
  const { writeHead } = response
  let isChanged = false
  response.writeHead = (...args: unknown[]) => {
    if (isChanged) return writeHead.apply(response, args as never)
    isChanged = true
    // Node itself gives the status alone.
    if (args.length > 1 || args[0] !== response.statusCode) stageHead(response, args)
    change()
    return writeHead.call(response, response.statusCode)
  }
}

/** From here on the handler writes to the encoder, and the encoder to the response. */
function divert(
  response: ServerResponse,
  encoder: Transform,
  { write, end }: Pick<ServerResponse, 'write' | 'end'>,
): void {
  const { emit } = response
  encoder.on('data', (chunk: Buffer) => {
    if (!write.call(response, chunk, 'utf8')) encoder.pause()
  })
  encoder.on('end', () => end.call(response, undefined, 'utf8'))
  encoder.on('error', (error) => response.destroy(error))
  encoder.on('drain', () => emit.call(response, 'drain'))
  response.once('close', () => encoder.destroy())
  // That the socket has drained is for the encoder; the handler may go on when the encoder says so.
  response.emit = (event: string, ...args: unknown[]) => {
    if (event !== 'drain') return emit.call(response, event, ...args)
    encoder.resume()
    return true
  }
}

/** Puts into the head what `writeHead` was given, to be sent with the body. */
function stageHead(response: ServerResponse, [status, ...rest]: readonly unknown[]): ServerResponse {
  const message = typeof rest[0] === 'string' ? (rest.shift() as string) : undefined
  response.statusCode = status as number
  if (message !== undefined) response.statusMessage = message
  setHeaders(response, rest[1] ?? rest[0])
  return response
}

/** As `writeHead` takes them: an object, a flat list of names and values, or a list of pairs. */
function setHeaders(response: ServerResponse, headers: unknown): void {
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value as string)
    return
  }
  const flat: unknown[] = headers.flat()
  const pairs = Array.from({ length: flat.length / 2 }, (_, index) => flat.slice(index * 2, index * 2 + 2) as string[])
  for (const [name] of pairs) response.removeHeader(name as string)
  for (const [name, value] of pairs) response.appendHeader(name as string, value as string)
}

interface EndArguments {
  readonly chunk: unknown
  readonly encoding: string | undefined
  readonly done: (() => void) | undefined
}

/** `end(done)`, `end(chunk, done)`, `end(chunk, encoding, done)`. */
function readEnd([first, second, third]: readonly unknown[]): EndArguments {
  if (typeof first === 'function') return { chunk: undefined, encoding: undefined, done: first as () => void }
  const chunk = first ?? undefined
  if (typeof second === 'function') return { chunk, encoding: undefined, done: second as () => void }
  return { chunk, encoding: (second as string | undefined) ?? undefined, done: third as (() => void) | undefined }
}

function toBody(chunk: string | Uint8Array | undefined, encoding: string | undefined): string | Buffer {
  if (chunk === undefined) return ''
  if (typeof chunk !== 'string') return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  return encoding === undefined || encoding === 'utf8' || encoding === 'utf-8'
    ? chunk
    : Buffer.from(chunk, encoding as BufferEncoding)
}
