import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ExpressRequest } from '../../http/express-tree.ts'

type Next = (error?: unknown) => void

/** A middleware for Express, in types that need no import of Express. */
export type Middleware<
  Request extends ExpressRequest = ExpressRequest,
  Response extends ServerResponse = ServerResponse,
> = (request: Request, response: Response, next: Next) => void

/** An error handler for Express. */
export type ErrorHandler = (error: unknown, request: IncomingMessage, response: ServerResponse, next: Next) => void
