import type { ServerResponse } from 'node:http'
import type { Transform } from 'node:stream'
import { isDestroyed, PendingEnd } from './pending-end.ts'
import { makeRoomForListener } from './response-close.ts'
import {
  canReopen,
  changeHead,
  compileHead,
  type HeadChange,
  reopenHead,
  replaceMethods,
  stageHead,
} from './response-head.ts'

/** Decides what becomes of an answer that a handler gives through Node's response. The head is complete, and can change. */
export interface Interceptor {
  /** The body came in one piece. */
  whole(body: Buffer | string): WholeChange | Promise<WholeChange>
  /** The body comes in pieces, or the head must go first. */
  pieces(): PiecesChange
}

export interface WholeChange extends HeadChange {
  /** The body to send; `undefined` for the one that the handler gave. */
  readonly body: Uint8Array | undefined
}

export interface PiecesChange extends HeadChange {
  /** What to write the pieces to; `undefined` sends them as they are. */
  readonly encoder: Transform | undefined
}

/**
 * Puts an {@link Interceptor} between a handler and its response. It is asked at the first `write`, `end` or `flushHeaders`;
 * until then the response is Node's own, and a head that `writeHead()` has compiled is opened again. From then on the head is
 * sent when Node would send it, and what Node throws is thrown to the handler; any later error destroys the response.
 *
 * The methods are replaced on this one object, and stay, because others may have replaced them since.
 *
 * @returns sends what the encoder holds back
 */
export function intercept(response: ServerResponse, interceptor: Interceptor): () => void {
  const { write, end, writeHead, flushHeaders } = response
  let isDecided = false
  let encoder: Transform | undefined
  let pending: PendingEnd | undefined

  const isOver = () => response.writableEnded || isDestroyed(response)

  /** Runs what sends the head. If Node refuses the head, the response is as before. */
  const decide = (change: HeadChange, send: () => void) => {
    const undo = changeHead(response, change)
    isDecided = true
    try {
      send()
    } catch (error) {
      isDecided = false
      undo()
      throw error
    }
  }

  /** A head is Latin-1. Node writes one that goes with bytes as such, and one that goes alone as UTF-8. */
  const sendHead = () => {
    if (response.req.httpVersionMajor === 1) write.call(response, noBytes, 'utf8')
    else flushHeaders.call(response)
  }

  const begin = (given?: number) => {
    if (isDecided) return
    reopenHead(response)
    const status = given ?? response.statusCode
    const pieces = interceptor.pieces()
    try {
      decide(pieces, () => {
        if (!response.headersSent) response.writeHead(status)
        if (pieces.encoder !== undefined) sendHead()
      })
    } catch (error) {
      pieces.encoder?.destroy()
      throw error
    }
    encoder = pieces.encoder
    if (encoder !== undefined) divert(response, encoder, (chunk) => write.call(response, chunk, 'utf8'), sending)
  }

  const sending = <Result>(send: () => Result): Result => (pending === undefined ? send() : pending.send(send))

  const sendWhole = (change: WholeChange, args: readonly unknown[], wasCompiled: boolean) =>
    decide(change, () => {
      if (wasCompiled) writeHead.call(response, response.statusCode)
      if (change.body === undefined) end.apply(response, args as never)
      else end.call(response, change.body, 'utf8', readEnd(args).done)
    })

  const sendLater = (promised: Promise<WholeChange>, args: readonly unknown[], wasCompiled: boolean) => {
    // Node compiles the head now, so that it throws to the handler and reports the head as sent.
    if (canReopen(response)) response.writeHead(response.statusCode)
    isDecided = true
    pending = new PendingEnd(response)
    const finish = (send: () => void) => {
      if (isDestroyed(response)) return
      pending?.release()
      pending = undefined
      try {
        send()
      } catch (error) {
        response.destroy(error as Error)
      }
    }
    promised.then(
      (change) =>
        finish(() => {
          reopenHead(response)
          sendWhole(change, args, wasCompiled)
        }),
      (error) => finish(() => response.destroy(error)),
    )
  }

  replaceMethods(response, {
    writeHead(...args: unknown[]) {
      if (isDecided || isOver() || response.headersSent) return writeHead.apply(response, args as never)
      if (canReopen(response)) {
        compileHead(response, args)
        return response
      }
      stageHead(response, args)
      begin(args[0] as number)
      return response
    },
    flushHeaders() {
      // The head of a pending answer can still change.
      if (pending !== undefined) return
      if (!isOver()) begin()
      flushHeaders.call(response)
    },
    write(...args: unknown[]) {
      if (pending !== undefined && (pending.refusesAny || isBody(response, args[0], args[1])))
        return pending.refuseWrite(args.at(-1))
      // Let Node reject invalid chunks and encodings.
      if (isOver() || !isBody(response, args[0], args[1])) return write.apply(response, args as never)
      begin()
      if (encoder === undefined) return write.apply(response, args as never)
      return encoder.write(...(args as [chunk: unknown]))
    },
    end(...args: unknown[]) {
      const { chunk, encoding, done } = readEnd(args)
      if (pending !== undefined) {
        if (!pending.refuseEnd(chunk, done)) end.apply(response, args as never)
        return response
      }
      // Let Node reject invalid chunks and encodings.
      if (isOver() || !(chunk === undefined || isBody(response, chunk, encoding)))
        return end.apply(response, args as never)
      if (encoder !== undefined) {
        const last = chunk === undefined ? undefined : toBody(chunk as string | Uint8Array, encoding)
        pending = new PendingEnd(response)
        encoder.once('end', () => {
          pending?.release()
          pending = undefined
          end.call(response, undefined as never, 'utf8', done)
        })
        encoder.end(last)
        return response
      }
      if (isDecided) return end.apply(response, args as never)
      const body = toBody(chunk as string | Uint8Array | undefined, encoding)
      // While a head cannot be compiled without sending it, the handler must not wait for the body.
      if (body.length > maxWaitingBytes && !response.headersSent && !canReopen(response)) {
        begin()
        return response.end(...(args as []))
      }
      const wasCompiled = reopenHead(response)
      const change = interceptor.whole(body)
      if (change instanceof Promise) sendLater(change, args, wasCompiled)
      else sendWhole(change, args, wasCompiled)
      return response
    },
  })
  return () => (encoder as { flush?(): void } | undefined)?.flush?.()
}

const noBytes = new Uint8Array(0)

/** Shorter bodies are compressed at once. */
const maxWaitingBytes = 16 * 1024

/** From here on the handler writes to the encoder, and the encoder to the response. */
function divert(
  response: ServerResponse,
  encoder: Transform,
  write: (chunk: Buffer) => boolean,
  sending: (send: () => boolean) => boolean,
): void {
  const { emit } = response
  encoder.on('data', (chunk: Buffer) => {
    if (sending(() => write(chunk))) return
    encoder.pause()
    // Over HTTP/1 Node does not say that the socket has drained to a response that counts as ended.
    if (response.req.httpVersionMajor === 1) response.socket?.once('drain', () => encoder.resume())
  })
  encoder.on('error', (error) => response.destroy(error))
  encoder.on('drain', () => emit.call(response, 'drain'))
  onceClosed(response, () => encoder.destroy())
  // That the socket has drained is for the encoder; the handler may go on when the encoder says so.
  replaceMethods(response, {
    emit(event: string, ...args: unknown[]) {
      if (event !== 'drain') return emit.call(response, event, ...args)
      encoder.resume()
      return true
    },
  })
  Object.defineProperty(response, 'writableNeedDrain', { get: () => encoder.writableNeedDrain, configurable: true })
}

interface EndArguments {
  readonly chunk: unknown
  readonly encoding: string | undefined
  readonly done: (() => void) | undefined
}

/** `end(done)`, `end(chunk, done)`, `end(chunk, encoding, done)`. */
export function readEnd([first, second, third]: readonly unknown[]): EndArguments {
  if (typeof first === 'function') return { chunk: undefined, encoding: undefined, done: first as () => void }
  const chunk = first ?? undefined
  if (typeof second === 'function') return { chunk, encoding: undefined, done: second as () => void }
  return { chunk, encoding: (second as string | undefined) ?? undefined, done: third as (() => void) | undefined }
}

/** Whether Node takes the chunk for a part of the body. Over HTTP/2 it takes any view of bytes. */
export function isBody(response: ServerResponse, chunk: unknown, encoding: unknown): chunk is string | Uint8Array {
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

/** Listens for the close, beside as many listeners as the application may have before Node warns of a leak. */
export function onceClosed(response: ServerResponse, listener: () => void): void {
  makeRoomForListener(response)
  response.once('close', listener)
}
