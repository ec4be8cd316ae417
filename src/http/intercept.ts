import type { ServerResponse } from 'node:http'
import type { Transform } from 'node:stream'

/** Decides what becomes of an answer that a handler gives through Node's response. */
export interface Interceptor {
  /**
   * The body came in one piece. The response is as it was before, its head not sent.
   *
   * @returns what sends it; while it is promised, what the handler does to the response has no effect
   */
  whole(body: Buffer | string): (() => void) | Promise<() => void>
  /** The body comes in pieces, or the head must go first: what to write them to, or nothing to send them as they are. */
  pieces(): Transform | undefined
}

/**
 * Puts an {@link Interceptor} between a handler and its response. For the handler nothing changes, but that the head is sent
 * with the first bytes of the body, even after `writeHead()`. The methods are replaced on this one object, and put back as
 * soon as the interceptor is asked. Interceptors may be nested; the last one put in place is asked first.
 */
export function intercept(response: ServerResponse, interceptor: Interceptor): void {
  const { write, end, writeHead, flushHeaders } = response
  const begin = () => {
    Object.assign(response, { write, end, writeHead, flushHeaders })
    const encoder = interceptor.pieces()
    if (encoder !== undefined) divert(response, encoder)
  }

  Object.assign(response, {
    writeHead(status: number, ...rest: unknown[]) {
      const message = typeof rest[0] === 'string' ? (rest.shift() as string) : undefined
      response.statusCode = status
      if (message !== undefined) response.statusMessage = message
      setHeaders(response, rest[0] ?? rest[1])
      return response
    },
    flushHeaders() {
      begin()
      response.flushHeaders()
    },
    write(...args: Parameters<ServerResponse['write']>) {
      begin()
      return response.write(...args)
    },
    end(...args: unknown[]) {
      Object.assign(response, { write, end, writeHead, flushHeaders })
      const [chunk, encoding, done] = readEnd(args)
      if (chunk !== undefined && typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) {
        return response.end(chunk) // for the error that it throws
      }
      if (done !== undefined) response.once('finish', done)
      const send = interceptor.whole(toBody(chunk, encoding))
      if (send instanceof Promise) sendLater(response, send)
      else send()
      return response
    },
  })
}

/** From here on the handler writes to the encoder, and the encoder to the response. */
function divert(response: ServerResponse, encoder: Transform): void {
  const { write, end, emit } = response
  encoder.on('data', (chunk: Buffer) => {
    if (!write.call(response, chunk, 'utf8')) encoder.pause()
  })
  encoder.on('end', () => end.call(response, undefined, 'utf8'))
  encoder.on('error', (error) => response.destroy(error))
  encoder.on('drain', () => emit.call(response, 'drain'))
  response.once('close', () => encoder.destroy())
  Object.assign(response, {
    write: (...args: Parameters<Transform['write']>) => encoder.write(...args),
    end(...args: unknown[]) {
      const [chunk, encoding, done] = readEnd(args)
      if (done !== undefined) response.once('finish', done)
      encoder.end(chunk, encoding as BufferEncoding)
      return response
    },
    // That the socket has drained is for the encoder; the handler may go on when the encoder says so.
    emit(event: string, ...args: unknown[]) {
      if (event !== 'drain') return emit.call(response, event, ...args)
      encoder.resume()
      return true
    },
  })
}

/** A handler that goes on after its answer, or fails, must find the answer given. */
function sendLater(response: ServerResponse, promised: Promise<() => void>): void {
  const { write, end, statusCode } = response
  Object.defineProperty(response, 'headersSent', { value: true, configurable: true })
  Object.assign(response, { write: () => false, end: () => response })
  const release = () => {
    Reflect.deleteProperty(response, 'headersSent')
    Object.assign(response, { write, end, statusCode })
  }
  promised.then(
    (send) => {
      release()
      if (!response.destroyed) send()
    },
    (error) => {
      release()
      response.destroy(error)
    },
  )
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

type EndArguments = [chunk?: unknown, encoding?: string | undefined, done?: (() => void) | undefined]

/** `end(done)`, `end(chunk, done)`, `end(chunk, encoding, done)`. */
function readEnd(args: readonly unknown[]): EndArguments {
  const index = args.findIndex((arg) => typeof arg === 'function')
  const done = args[index] as (() => void) | undefined
  const [chunk, encoding] = index === -1 ? args : args.slice(0, index)
  return [chunk ?? undefined, (encoding as string | undefined) ?? undefined, done]
}

function toBody(chunk: string | Uint8Array | undefined, encoding: string | undefined): string | Buffer {
  if (chunk === undefined) return ''
  if (typeof chunk !== 'string') return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  return encoding === undefined || /^utf-?8$/i.test(encoding) ? chunk : Buffer.from(chunk, encoding as BufferEncoding)
}
