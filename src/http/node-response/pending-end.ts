import type { ServerResponse } from 'node:http'

type Http1Response = ServerResponse & { finished: boolean; _trailer: string }

/** What a response reports once it has ended. */
const reportsOfEnded: PropertyDescriptorMap = {
  headersSent: { value: true, configurable: true },
  writableEnded: { value: true, configurable: true },
  finished: { value: true, configurable: true },
}

/**
 * Makes a response behave as ended for its handler while its last bytes are still being made. Where it can, Node itself
 * refuses a second `end()`, with its own errors.
 */
export class PendingEnd {
  readonly #response: ServerResponse
  readonly #isHttp1: boolean
  /** The headers at the end of the answer. HTTP/2 would accept others as long as the head is not sent. */
  #headers: NodeJS.Dict<unknown> | undefined
  readonly #statusCode: number
  readonly #trailer: string
  #isTurnOfEnd = false

  constructor(response: ServerResponse) {
    this.#response = response
    this.#statusCode = response.statusCode
    this.#trailer = (response as Http1Response)._trailer
    // In HTTP/2 `finished` is a getter of the class.
    this.#isHttp1 = Object.hasOwn(response, 'finished')
    if (this.#isHttp1) {
      ;(response as Http1Response).finished = true
      // Before Node 24 `writableFinished` would be true at once.
      Object.defineProperty(response, 'writableFinished', { value: false, configurable: true })
      return
    }
    this.#isTurnOfEnd = true
    process.nextTick(() => {
      this.#isTurnOfEnd = false
    })
    if (!response.headersSent) this.#headers = response.getHeaders()
    Object.defineProperties(response, reportsOfEnded)
  }

  /** Sends a piece of the body: for Node the response is still open. */
  send<Result>(write: () => Result): Result {
    if (!this.#isHttp1) return write()
    const response = this.#response as Http1Response
    response.finished = false
    try {
      return write()
    } finally {
      response.finished = true
    }
  }

  /** Opens the response again, to be ended. */
  release(): void {
    const response = this.#response
    if (this.#isHttp1) {
      Object.assign(response, { finished: false, _trailer: this.#trailer })
      Reflect.deleteProperty(response, 'writableFinished')
      return
    }
    for (const name of Object.keys(reportsOfEnded)) Reflect.deleteProperty(response, name)
    if (this.#headers === undefined || response.headersSent) return
    response.statusCode = this.#statusCode
    for (const name of response.getHeaderNames()) response.removeHeader(name)
    for (const [name, value] of Object.entries(this.#headers)) response.setHeader(name, value as string)
  }

  /** Whether a write after the end is refused before its chunk is looked at. */
  get refusesAny(): boolean {
    return !this.#isHttp1
  }

  /**
   * Refuses a write after the end. Over HTTP/1 no error is emitted: Node emits none once the answer is sent, which takes
   * longer here. Over HTTP/2 Node destroys the response, if that is not closed yet.
   */
  refuseWrite(callback: unknown): false {
    const error = Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' })
    if (typeof callback === 'function') process.nextTick(callback as (error: Error) => void, error)
    if (this.#isTurnOfEnd) this.#response.destroy(error)
    return false
  }

  /** @returns `false` when Node itself answers a second `end()` */
  refuseEnd(chunk: unknown, callback: (() => void) | undefined): boolean {
    if (!this.#isHttp1) {
      if (callback !== undefined) process.nextTick(callback)
      return true
    }
    if (!chunk) return false
    this.refuseWrite(callback)
    return true
  }
}

/** In HTTP/2 only the stream knows this. */
export function isDestroyed(response: ServerResponse): boolean {
  return response.destroyed ?? (response as { stream?: { destroyed: boolean } }).stream?.destroyed ?? false
}

/** Whether a response that is closing before its end is closed by its handler, not by the client. */
export function isBrokenOff(response: ServerResponse): boolean {
  // In HTTP/2 the connection goes on.
  if (response.req.httpVersionMajor > 1) return false
  const { readableEnded, errored } = response.req.socket
  return readableEnded === false && (errored === null || errored === response.errored)
}
