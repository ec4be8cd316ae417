import type { ExpressRequest } from '../../http/express-tree.ts'
import { NodeCachedRequest } from '../../http/response-cache/node-request.ts'

/**
 * How the response cache and `freshness` see a request: with its URL as sent and as middleware rewrote it, and its route.
 */
export function readCachedRequest<Request extends ExpressRequest>(request: Request): NodeCachedRequest<Request> {
  const { originalUrl, baseUrl = '', url = '' } = request
  const route = String((request.route as { path?: unknown } | undefined)?.path ?? '')
  return new NodeCachedRequest(request, originalUrl, request, route, baseUrl + url)
}
