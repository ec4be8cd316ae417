import { createRequire } from 'node:module'
import type { RequestHandler } from 'express'

interface SwaggerStats {
  getMiddleware(options: object): RequestHandler
}

/** Its middleware as its README sets it up, with Prometheus metrics at `/stats/metrics`. */
export function swaggerStats(): RequestHandler {
  const { getMiddleware } = createRequire(import.meta.url)('swagger-stats') as SwaggerStats
  return getMiddleware({ name: 'bench', uriPath: '/stats' })
}
