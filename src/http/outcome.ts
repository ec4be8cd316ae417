import type { IncomingMessage, OutgoingHttpHeader } from 'node:http'
import type { Outcome } from '../monitor/types.ts'

/** The part of Node's response, HTTP/1 or HTTP/2, that tells how it ended. */
interface EndedResponse {
  readonly writableEnded: boolean
  getHeader(name: string): OutgoingHttpHeader | undefined
}

const eventStream = 'text/event-stream'

/**
 * How a response that has closed has ended. An event stream is over when its client leaves, and an upgraded connection
 * when its socket closes: neither was aborted. `writableFinished` would not do: it is false for a whole answer under an
 * injected request, and true for an aborted HTTP/2 stream.
 */
export function outcomeOf(request: Pick<IncomingMessage, 'headers' | 'aborted'>, response: EndedResponse): Outcome {
  if (isEventStream(response)) return 'stream'
  if (response.writableEnded && !request.aborted) return 'completed'
  return request.headers.upgrade === undefined ? 'aborted' : 'upgrade'
}

function isEventStream(response: EndedResponse): boolean {
  const contentType = response.getHeader('content-type')
  if (contentType !== undefined) return String(contentType).startsWith(eventStream)
  // Headers that went straight into `writeHead()` are kept only as the text that was sent. A stream has no length.
  const { _header, _contentLength } = response as { _header?: string | null; _contentLength?: number | null }
  return typeof _contentLength !== 'number' && _header?.includes(eventStream) === true
}
