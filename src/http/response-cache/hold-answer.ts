import type { ServerResponse } from 'node:http'
import { isBody, onceClosed, readEnd, toBody } from '../node-response/intercept.ts'
import { isDestroyed, PendingEnd } from '../node-response/pending-end.ts'
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
  /** The answer is given; `undefined` when it is too long to be copied. */
  onBody(body: Buffer | undefined): void
  /** The response was closed before its handler had ended it. */
  onAbandon(): void
}

/** What becomes of the pieces of an answer. */
export interface StreamPlan {
  readonly isCopied: boolean
  /** If not, the client gets the head alone, when the handler ends the answer. */
  readonly isNeeded: boolean
}

/** An answer that came in one piece, and waits to be sent. */
export interface HeldAnswer {
  /** Ends the response with what the function returns, `undefined` for the handler's own body. It may change the head. */
  send(finish: () => Buffer | null | undefined): void
}

/**
 * Holds back an answer that comes in one piece, and copies one that comes in pieces. For the handler the response is Node's
 * own: it is ended, its head is compiled, and Node has thrown what it throws for a bad one.
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
  const { write, end, writeHead, flushHeaders } = response
  let isHeadSeen = false
  /** `held`: it came in one piece. `streaming`: it comes in pieces. */
  let form: 'unknown' | 'held' | 'streaming' = 'unknown'
  let isNeeded = true
  let copy: BodyCopy | undefined
  let pending: PendingEnd | undefined
  let wasCompiled = false
  let endArguments: readonly unknown[] = []
  const isOver = () => response.writableEnded || isDestroyed(response)

  const isSent = () => isNeeded && !isBackground

  const stream = (status?: number) => {
    if (form !== 'unknown') return
    form = 'streaming'
    try {
      reopenHead(response)
      if (isHeadSeen) startCopy()
      if (!response.headersSent) response.writeHead((isNeeded ? status : undefined) ?? response.statusCode)
    } catch (error) {
      form = 'unknown'
      isNeeded = true
      copy = undefined
      throw error
    }
  }
  const startCopy = () => {
    const plan = listener.onStream()
    if (plan.isCopied) copy = new BodyCopy(maxBytes)
    isNeeded = plan.isNeeded
  }

  replaceMethods(response, {
    writeHead(...args: unknown[]) {
      if (isOver() || response.headersSent) return writeHead.apply(response, args as never)
      const isOpenable = canReopen(response)
      if (!isOpenable) stageHead(response, args)
      if (!isHeadSeen) {
        const [status, given] = args as [number, unknown]
        const message = typeof given === 'string' ? given : response.statusMessage
        listener.onHead({ status, message, headers: headersWith(response, isOpenable ? args : []) })
        isHeadSeen = true
        if (form === 'streaming') startCopy()
      }
      try {
        if (!isOpenable && form === 'unknown') stream(args[0] as number)
        else if (form !== 'unknown') writeHead.apply(response, (isNeeded ? args : [response.statusCode]) as never)
        else compileHead(response, args)
      } catch (error) {
        isHeadSeen = false
        throw error
      }
      return response
    },
    flushHeaders() {
      if (pending !== undefined) return
      if (!isOver()) stream()
      flushHeaders.call(response)
    },
    write(...args: unknown[]) {
      const [chunk, encoding] = args
      if (pending !== undefined && (pending.refusesAny || isBody(response, chunk, encoding)))
        return pending.refuseWrite(args.at(-1))
      if (isOver() || !isBody(response, chunk, encoding)) return write.apply(response, args as never)
      stream()
      const hasRoom = isSent() ? write.apply(response, args as never) : skip(args.at(-1))
      if (copy === undefined || copy.isTooLong) return hasRoom
      copy.add(bytesOf(chunk, encoding))
      if (copy.isTooLong) listener.onBody(undefined)
      // The client's pace must not be the handler's, whose answer others wait for.
      return hasRoom || !copy.isTooLong
    },
    end(...args: unknown[]) {
      const { chunk, encoding, done } = readEnd(args)
      if (pending !== undefined) {
        if (!pending.refuseEnd(chunk, done)) end.apply(response, args as never)
        return response
      }
      if (isOver() || !(chunk === undefined || isBody(response, chunk, encoding)))
        return end.apply(response, args as never)
      if (form === 'streaming') {
        if (chunk !== undefined) copy?.add(bytesOf(chunk as string | Uint8Array, encoding))
        if (isSent()) end.apply(response, args as never)
        else if (!isBackground) end.call(response, undefined as never, 'utf8', done)
        listener.onBody(copy?.read())
        return response
      }
      const body = chunk === undefined ? Buffer.alloc(0) : bytesOf(chunk as string | Uint8Array, encoding)
      wasCompiled = response.headersSent
      // Node compiles the head now, so that it throws to the handler and reports the head as sent.
      if (!wasCompiled) {
        if (canReopen(response)) response.writeHead(response.statusCode)
        else {
          const { statusCode: status, statusMessage: message } = response
          listener.onHead({ status, message, headers: headersWith(response, []) })
        }
      }
      form = 'held'
      endArguments = args
      pending = new PendingEnd(response)
      listener.onBody(body.length > maxBytes ? undefined : body)
      return response
    },
  })
  onceClosed(response, listener.onAbandon)

  return {
    send(finish) {
      if (pending === undefined || isDestroyed(response)) return
      pending.release()
      pending = undefined
      try {
        reopenHead(response)
        const body = finish()
        if (body === undefined) {
          if (wasCompiled) writeHead.call(response, response.statusCode)
          end.apply(response, endArguments as never)
        } else {
          end.call(response, body, 'utf8', readEnd(endArguments).done)
        }
      } catch (error) {
        response.destroy(error as Error)
      }
    },
  }
}

/** Takes a chunk that is not sent. */
function skip(callback: unknown): true {
  if (typeof callback === 'function') process.nextTick(callback)
  return true
}

function bytesOf(chunk: string | Uint8Array, encoding: unknown): Buffer {
  const body = toBody(chunk, typeof encoding === 'string' ? encoding : undefined)
  return typeof body === 'string' ? Buffer.from(body) : body
}
