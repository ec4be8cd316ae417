import type { IncomingMessage, OutgoingHttpHeader } from 'node:http'
import type { Outcome } from '../monitor/types.ts'

/** The part of a response that tells how it ended: Node's own, HTTP/1 and HTTP/2 alike. */
interface EndedResponse {
  readonly writableEnded: boolean
  getHeader(name: string): OutgoingHttpHeader | undefined
}

/**
 * How a response that has closed has ended. An event stream is over when its client leaves, and an upgraded connection
 * when its socket closes: neither was aborted. `writableFinished` would not do: it is false for a whole answer under an
 * injected request, and true for an aborted HTTP/2 stream.
 */
export function outcomeOf(request: Pick<IncomingMessage, 'headers' | 'aborted'>, response: EndedResponse): Outcome {
  if (String(response.getHeader('content-type') ?? '').startsWith('text/event-stream')) return 'stream'
  if (response.writableEnded && !request.aborted) return 'completed'
  return request.headers.upgrade === undefined ? 'aborted' : 'upgrade'
}
