import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
// Not the global: fake timers of a test runner replace it, and the listener would never be called.
import { setImmediate } from 'node:timers'

/** Calls the listener when the response has closed, also if it has by now. */
export function onResponseClose(request: IncomingMessage, response: ServerResponse, listener: () => void): void {
  if (request.httpVersionMajor > 1) {
    onStreamClose((response as unknown as { readonly stream: ServerHttp2Stream }).stream, listener)
    return
  }
  makeRoomForListener(response)
  const { socket } = response
  // Adapters for functions, as those of AWS Lambda, put an object of their own in the socket's place, which closes nothing.
  if (socket && typeof socket.once !== 'function') response.on('finish', () => process.nextTick(listener))
  else response.on('close', listener)
  // Middleware before this one has waited, and the client left meanwhile.
  if (response.closed) setImmediate(listener)
}

/** Calls the listener when the response closes. */
export function onceClosed(response: ServerResponse, listener: () => void): void {
  makeRoomForListener(response)
  response.once('close', listener)
}

/** Lets the application add as many listeners as it may without ours before Node warns of a leak. */
export function makeRoomForListener(emitter: EventEmitter): void {
  const max = emitter.getMaxListeners()
  if (max > 0) emitter.setMaxListeners(max + 1)
}

/** The response of HTTP/2 never says that it has closed when the client of a HEAD request left before it was ended. Its stream does. */
function onStreamClose(stream: ServerHttp2Stream, listener: () => void): void {
  makeRoomForListener(stream)
  let hasClosed = false
  const close = () => {
    if (!hasClosed) listener()
    hasClosed = true
  }
  stream.on('close', close)
  stream.on('end', () => setImmediate(destroyIfLeft, stream))
  if (stream.destroyed) setImmediate(close)
}

/** Node keeps the stream of a client for ever that left without an error code before it had read all. */
function destroyIfLeft(stream: ServerHttp2Stream): void {
  if (stream.closed && !stream.destroyed && !stream.writableFinished) stream.destroy()
}
