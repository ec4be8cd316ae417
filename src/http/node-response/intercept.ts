import type { ServerResponse } from 'node:http'
import type { Transform } from 'node:stream'
import {
  type AnswerCalls,
  type AnswerMethods,
  askForHead,
  type EndArguments,
  sendWhole,
  takeAnswerCalls,
  toBody,
  type WholeEnd,
} from './answer-calls.ts'
import { isDestroyed, PendingEnd } from './pending-end.ts'
import { onceClosed } from './response-close.ts'
import {
  canReopen,
  changeHead,
  compileHead,
  type HeadChange,
  reopenHead,
  replaceMethods,
  stageHead,
} from './response-head.ts'

/** Decides how a handler's answer is sent. Its methods are called when the head is complete and can still be changed. */
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
 * Puts an {@link Interceptor} between a handler and its response. The interceptor is asked at the first `write`, `end` or
 * `flushHeaders`. Until then the response is Node's own, and a head that `writeHead()` has compiled is opened again. From
 * then on the head is sent when Node would send it, and errors that Node throws reach the handler. Any later error destroys
 * the response.
 *
 * @returns a function that sends what the encoder holds back
 */
export function intercept(response: ServerResponse, interceptor: Interceptor): () => void {
  const interception = new Interception(response, interceptor)
  return () => interception.flush()
}

class Interception implements AnswerCalls {
  pending: PendingEnd | undefined
  readonly #response: ServerResponse
  readonly #interceptor: Interceptor
  readonly #node: AnswerMethods
  #isDecided = false
  #encoder: Transform | undefined

  constructor(response: ServerResponse, interceptor: Interceptor) {
    this.#response = response
    this.#interceptor = interceptor
    this.#node = takeAnswerCalls(response, this)
  }

  writeHead(args: readonly unknown[]): void {
    const response = this.#response
    if (this.#isDecided) {
      this.#node.writeHead.apply(response, args as never)
    } else if (canReopen(response)) {
      compileHead(response, args)
    } else {
      stageHead(response, args)
      this.#begin(args[0] as number)
    }
  }

  flushHeaders(): void {
    this.#begin()
    this.#node.flushHeaders.call(this.#response)
  }

  write(args: readonly unknown[]): boolean {
    this.#begin()
    if (this.#encoder === undefined) return this.#node.write.apply(this.#response, args as never)
    return this.#encoder.write(...(args as [chunk: unknown]))
  }

  end(args: readonly unknown[], given: EndArguments): void {
    if (this.#encoder !== undefined) this.#endPieces(this.#encoder, given)
    else if (this.#isDecided) this.#node.end.apply(this.#response, args as never)
    else this.#endWhole(args, given)
  }

  /** Sends what the encoder holds back. */
  flush(): void {
    ;(this.#encoder as { flush?(): void } | undefined)?.flush?.()
  }

  /**
   * Begins a body that comes in pieces.
   *
   * @param given - the status of a head that cannot be opened again
   */
  #begin(given?: number): void {
    if (this.#isDecided) return
    const response = this.#response
    const wasCompiled = reopenHead(response)
    const status = given ?? response.statusCode
    const pieces = this.#interceptor.pieces()
    const { encoder } = pieces
    try {
      this.#decide(pieces, () => {
        // Middleware within has seen the head that the handler gave, and may not pass on a second one: call Node's method.
        if (wasCompiled || given !== undefined) this.#node.writeHead.call(response, status)
        else if (!response.headersSent) response.writeHead(status)
        if (encoder !== undefined) this.#sendHead()
      })
    } catch (error) {
      encoder?.destroy()
      throw error
    }
    this.#encoder = encoder
    if (encoder === undefined) return
    const write = (chunk: Buffer) => this.#node.write.call(response, chunk, 'utf8')
    divert(response, encoder, (chunk) =>
      this.pending === undefined ? write(chunk) : this.pending.send(() => write(chunk)),
    )
  }

  /** Runs the function that sends the head. If Node refuses the head, the response is as before. */
  #decide(change: HeadChange, send: () => void): void {
    const undo = changeHead(this.#response, change)
    this.#isDecided = true
    try {
      send()
    } catch (error) {
      this.#isDecided = false
      undo()
      throw error
    }
  }

  /** A head is Latin-1. Over HTTP/1 Node writes it so when it goes with bytes, but as UTF-8 when it goes alone. */
  #sendHead(): void {
    const response = this.#response
    if (response.req.httpVersionMajor === 1) this.#node.write.call(response, noBytes, 'utf8')
    else this.#node.flushHeaders.call(response)
  }

  #endPieces(encoder: Transform, { chunk, encoding, done }: EndArguments): void {
    this.pending = new PendingEnd(this.#response)
    encoder.once('end', () => {
      this.#release()
      this.#node.end.call(this.#response, undefined as never, 'utf8', done)
    })
    encoder.end(chunk === undefined ? undefined : toBody(chunk, encoding))
  }

  #endWhole(args: readonly unknown[], { chunk, encoding, done }: EndArguments): void {
    const response = this.#response
    const body = toBody(chunk, encoding)
    // Where a head cannot be compiled without sending it, send a long body in pieces: the handler must not wait for it.
    if (body.length > maxWaitingBytes && !response.headersSent && !canReopen(response)) {
      this.#begin()
      response.end(...(args as []))
      return
    }
    const ended = { args, done, wasCompiled: reopenHead(response) }
    const change = this.#interceptor.whole(body)
    if (change instanceof Promise) this.#sendLater(change, ended)
    else this.#sendWhole(change, ended)
  }

  #sendWhole(change: WholeChange, ended: WholeEnd): void {
    this.#decide(change, () => sendWhole(this.#response, this.#node, change.body, ended))
  }

  #sendLater(promised: Promise<WholeChange>, ended: WholeEnd): void {
    const response = this.#response
    // Node compiles the head now, so that an error reaches the handler and the head counts as sent.
    if (canReopen(response)) {
      if (ended.wasCompiled) compileHead(response, [response.statusCode])
      else askForHead(response, this.#node)
    }
    this.#isDecided = true
    this.pending = new PendingEnd(response)
    const finish = (send: () => void) => {
      if (isDestroyed(response)) return
      this.#release()
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
          this.#sendWhole(change, ended)
        }),
      (error) => finish(() => response.destroy(error)),
    )
  }

  #release(): void {
    this.pending?.release()
    this.pending = undefined
  }
}

const noBytes = new Uint8Array(0)

/** Shorter bodies are compressed at once. */
const maxWaitingBytes = 16 * 1024

/** From here on the handler writes to the encoder, and the encoder to the response. */
function divert(response: ServerResponse, encoder: Transform, write: (chunk: Buffer) => boolean): void {
  const { emit } = response
  encoder.on('data', (chunk: Buffer) => {
    // Middleware that has replaced `write` may return nothing; as for `pipe`, only `false` says that there is no room.
    if (write(chunk) !== false) return
    encoder.pause()
    // Over HTTP/1, a response that counts as ended gets no `drain` from Node: listen to the socket. A pipelined response has
    // none until its turn.
    if (response.req.httpVersionMajor > 1) return
    if (response.socket === null) response.once('socket', () => encoder.resume())
    else response.socket.once('drain', () => encoder.resume())
  })
  encoder.on('error', (error) => response.destroy(error))
  encoder.on('drain', () => emit.call(response, 'drain'))
  onceClosed(response, () => encoder.destroy())
  // When the socket has drained, the encoder goes on. The handler goes on when the encoder has drained.
  replaceMethods(response, {
    emit(event: string, ...args: unknown[]) {
      if (event !== 'drain') return emit.call(response, event, ...args)
      encoder.resume()
      return true
    },
  })
  Object.defineProperty(response, 'writableNeedDrain', { get: () => encoder.writableNeedDrain, configurable: true })
}
