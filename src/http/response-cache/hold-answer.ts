import type { ServerResponse } from 'node:http'
import {
  type AnswerCalls,
  type AnswerMethods,
  askForHead,
  type EndArguments,
  sendWhole,
  takeAnswerCalls,
  toBody,
  type WholeEnd,
} from '../node-response/answer-calls.ts'
import { isDestroyed, PendingEnd } from '../node-response/pending-end.ts'
import { onceClosed } from '../node-response/response-close.ts'
import {
  canReopen,
  compileHead,
  headersWith,
  reopenHead,
  replaceMethods,
  stageHead,
} from '../node-response/response-head.ts'
import { BodyCopy } from './body-copy.ts'

/** The head of an answer as its handler made it, before middleware around the cache adds to it. */
export interface AnswerHeaders {
  readonly status: number
  /** As the handler gave it. */
  readonly message: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
}

/** What is told about an answer while its handler gives it. */
export interface AnswerListener {
  /** The head is complete. Called again if Node has refused the first one. */
  onHead(head: AnswerHeaders): void
  /** The answer comes in pieces, so it is sent while it comes; the head is about to be compiled, and can change. */
  onStream(): StreamPlan
  /** The handler has ended the answer; `undefined` when the body is too long to be copied. */
  onBody(body: Buffer | undefined): void
  /** The response was closed before its handler had ended it. */
  onAbandon(): void
}

/** What becomes of the pieces of an answer. */
export interface StreamPlan {
  readonly isCopied: boolean
  /** Whether the client needs the body. If not, it gets the head alone, once the handler has ended the answer. */
  readonly isNeeded: boolean
}

/** An answer that came in one piece, and waits to be sent. */
export interface HeldAnswer {
  /** Ends the response with what the function returns, `undefined` for the handler's own body. It may change the head. */
  send(finish: () => Buffer | null | undefined): void
}

/**
 * Holds back an answer that comes in one piece, and copies one that comes in pieces. To the handler, a response that is held
 * back looks as Node's own would: it is ended, its head is compiled, and for a bad head Node has thrown.
 *
 * @param maxBytes - longer answers are not copied; up to here a handler need not wait for a slow client
 * @param isBackground - the answer is only copied, not sent
 */
export function holdAnswer(
  response: ServerResponse,
  maxBytes: number,
  isBackground: boolean,
  listener: AnswerListener,
): HeldAnswer {
  const holding = new Holding(response, maxBytes, isBackground, listener)
  onceClosed(response, listener.onAbandon)
  return holding
}

class Holding implements AnswerCalls, HeldAnswer {
  pending: PendingEnd | undefined
  readonly #response: ServerResponse
  readonly #maxBytes: number
  readonly #isBackground: boolean
  readonly #listener: AnswerListener
  readonly #node: AnswerMethods
  #isHeadSeen = false
  /** `held`: it came in one piece. `starting`, then `streaming`: it comes in pieces. */
  #form: 'unknown' | 'held' | 'starting' | 'streaming' = 'unknown'
  #isNeeded = true
  #copy: BodyCopy | undefined
  #ended: WholeEnd | undefined

  constructor(response: ServerResponse, maxBytes: number, isBackground: boolean, listener: AnswerListener) {
    this.#response = response
    this.#maxBytes = maxBytes
    this.#isBackground = isBackground
    this.#listener = listener
    this.#node = takeAnswerCalls(response, this)
  }

  writeHead(args: readonly unknown[]): void {
    const response = this.#response
    const isOpenable = canReopen(response)
    if (!isOpenable) stageHead(response, args)
    if (!this.#isHeadSeen) this.#seeHead(args, isOpenable ? args : [])
    try {
      if (isOpenable && this.#form === 'unknown') {
        compileHead(response, args)
      } else if (isOpenable && this.#form === 'starting' && this.#isSent) {
        // Only a trial, so that Node throws now. It compiles the head at the first piece, which middleware around may hold
        // back.
        compileHead(response, args)
        reopenHead(response)
      } else {
        const given = isOpenable ? args : [args[0]]
        const send = () =>
          this.#node.writeHead.apply(response, (this.#isNeeded ? given : [response.statusCode]) as never)
        this.#sendPiece(send, true)
      }
    } catch (error) {
      this.#isHeadSeen = false
      throw error
    }
  }

  flushHeaders(): void {
    this.#sendPiece(() => this.#node.flushHeaders.call(this.#response))
  }

  write(args: readonly unknown[], piece: string | Uint8Array): boolean {
    const hasRoom = this.#sendPiece(() =>
      this.#isSent ? this.#node.write.apply(this.#response, args as never) : skip(args.at(-1)),
    )
    const copy = this.#copy
    if (copy === undefined || copy.isTooLong) return hasRoom
    copy.add(bytesOf(piece, args[1]))
    if (copy.isTooLong) this.#listener.onBody(undefined)
    // A slow client must not slow down the handler: other requests wait for its answer.
    return hasRoom !== false || !copy.isTooLong
  }

  end(args: readonly unknown[], given: EndArguments): void {
    if (this.#form === 'streaming') this.#endStream(args, given)
    else this.#hold(args, given)
  }

  send(finish: () => Buffer | null | undefined): void {
    const response = this.#response
    if (this.pending === undefined || isDestroyed(response)) return
    this.pending.release()
    this.pending = undefined
    try {
      reopenHead(response)
      sendWhole(response, this.#node, finish(), this.#ended as WholeEnd)
    } catch (error) {
      response.destroy(error as Error)
    }
  }

  get #isSent(): boolean {
    return this.#isNeeded && !this.#isBackground
  }

  /** @param headers - the arguments of `writeHead` whose headers are not set yet */
  #seeHead([status, given]: readonly unknown[], headers: readonly unknown[]): void {
    const response = this.#response
    const message = typeof given === 'string' ? given : response.statusMessage
    this.#listener.onHead({ status: status as number, message, headers: headersWith(response, headers) })
    this.#isHeadSeen = true
    if (this.#form === 'starting') this.#startCopy()
  }

  /** Sends the head or a piece of an answer that comes in pieces. If the first is refused, the response is as before. */
  #sendPiece<Result>(send: () => Result, isHeadAsked = false): Result {
    if (this.#form !== 'unknown') return send()
    const response = this.#response
    const { writeHead } = response
    try {
      this.#start(isHeadAsked)
      this.#form = 'streaming'
      return send()
    } catch (error) {
      if (response.headersSent) {
        this.#form = 'streaming'
      } else {
        this.#form = 'unknown'
        this.#isNeeded = true
        this.#isHeadSeen = false
        this.#copy = undefined
        replaceMethods(response, { writeHead })
      }
      throw error
    }
  }

  #start(isHeadAsked: boolean): void {
    const response = this.#response
    this.#form = 'starting'
    const wasCompiled = reopenHead(response)
    if (this.#isHeadSeen) this.#startCopy()
    if (wasCompiled) this.#node.writeHead.call(response, response.statusCode)
    else if (!isHeadAsked && !response.headersSent) askForHead(response, this.#node)
  }

  #startCopy(): void {
    const plan = this.#listener.onStream()
    if (plan.isCopied) this.#copy = new BodyCopy(this.#maxBytes)
    this.#isNeeded = plan.isNeeded
  }

  #endStream(args: readonly unknown[], { chunk, encoding, done }: EndArguments): void {
    const [response, node] = [this.#response, this.#node]
    if (chunk !== undefined) this.#copy?.add(bytesOf(chunk, encoding))
    if (this.#isSent) node.end.apply(response, args as never)
    else if (!this.#isBackground) node.end.call(response, undefined as never, 'utf8', done)
    this.#listener.onBody(this.#copy?.read())
  }

  #hold(args: readonly unknown[], { chunk, encoding, done }: EndArguments): void {
    const response = this.#response
    const body = chunk === undefined ? Buffer.alloc(0) : bytesOf(chunk, encoding)
    const wasCompiled = response.headersSent
    // Node compiles the head now, so that an error reaches the handler and the head counts as sent.
    if (!wasCompiled) {
      if (canReopen(response)) askForHead(response, this.#node)
      else this.#seeHead([response.statusCode], [])
    }
    this.#form = 'held'
    this.#ended = { args, done, wasCompiled }
    this.pending = new PendingEnd(response)
    this.#listener.onBody(body.length > this.#maxBytes ? undefined : body)
  }
}

/** Accepts a chunk without sending it. */
function skip(callback: unknown): true {
  if (typeof callback === 'function') process.nextTick(callback)
  return true
}

function bytesOf(chunk: string | Uint8Array, encoding: unknown): Buffer {
  const body = toBody(chunk, typeof encoding === 'string' ? encoding : undefined)
  return typeof body === 'string' ? Buffer.from(body) : body
}
