import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
// Not the global: fake timers of a test runner replace it, and the listener would never be called.
import { setImmediate } from 'node:timers'

/** Calls the listener when the response has closed, even if that has happened already. */
export function onResponseClose(request: IncomingMessage, response: ServerResponse, listener: () => void): void {
  if (request.httpVersionMajor > 1) {
    onStreamClose((response as unknown as { readonly stream: ServerHttp2Stream }).stream, listener)
    return
  }
  makeRoomForListener(response)
  const { socket } = response
  // Adapters for functions, such as those of AWS Lambda, replace the socket by an object of their own. Then no `close`
  // comes.
  if (socket && typeof socket.once !== 'function') response.on('finish', () => process.nextTick(listener))
  else response.on('close', listener)
  // The client left while middleware before this one waited.
  if (response.closed) setImmediate(listener)
}

/** Calls the listener when the response closes. */
export function onceClosed(response: ServerResponse, listener: () => void): void {
  makeRoomForListener(response)
  response.once('close', listener)
}

/** Raises the limit of listeners by one for ours, so that Node warns of a leak no earlier than without it. */
function makeRoomForListener(emitter: EventEmitter): void {
  const max = emitter.getMaxListeners()
  if (max > 0) emitter.setMaxListeners(max + 1)
}

/**
 * If the client of a HEAD request leaves before the answer ends, the response of HTTP/2 emits no `close`. Its stream does.
 */
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

/** Destroys the stream of a client that left without an error code before it had read all. Node would keep it for ever. */
function destroyIfLeft(stream: ServerHttp2Stream): void {
  if (stream.closed && !stream.destroyed && !stream.writableFinished) stream.destroy()
}
