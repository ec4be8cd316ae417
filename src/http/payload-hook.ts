/** A reply whose payload a hook may replace before it is sent, as Fastify's. */
export interface Reply {
  readonly statusCode: number
  code(status: number): unknown
  getHeader(name: string): unknown
  getHeaders(): Readonly<Record<string, unknown>>
  header(name: string, value: string): unknown
  headers(values: Readonly<Record<string, string>>): unknown
  removeHeader(name: string): unknown
}

/** A hook on a payload, as Fastify calls it. */
export type PayloadHook<Request, HookReply> = (
  request: Request,
  reply: HookReply,
  payload: unknown,
  done: (error: Error | null, payload?: unknown) => void,
) => void

/** A payload that {@link payloadHook} waits for. */
export class LatePayload {
  /** Resolves to a function that returns the payload, and may change the head. */
  readonly reader: Promise<() => unknown>

  constructor(reader: Promise<() => unknown>) {
    this.reader = reader
  }
}

/**
 * Makes a hook of a function that returns the next payload. While the hook waits for a payload, the reply counts as sent, as
 * it does in Fastify without the hook: a second answer and the page of a later error are refused, and changes of the head by
 * the handler come too late.
 */
export function payloadHook<Request, HookReply extends Reply>(
  change: (request: Request, reply: HookReply, payload: unknown) => unknown,
): PayloadHook<Request, HookReply> {
  return (request, reply, payload, done) => {
    const changed = change(request, reply, payload)
    if (!(changed instanceof LatePayload)) {
      done(null, changed)
      return
    }
    const { statusCode } = reply
    const headers = { ...reply.getHeaders() }
    Object.defineProperty(reply, 'sent', { value: true, configurable: true })
    const goOn = (read: () => unknown) => {
      delete (reply as { sent?: boolean }).sent
      try {
        setHead(reply, statusCode, headers)
        done(null, read())
      } catch (error) {
        done(error as Error)
      }
    }
    changed.reader.then(goOn, (error) =>
      goOn(() => {
        throw error
      }),
    )
  }
}

function setHead(reply: Reply, status: number, headers: Readonly<Record<string, unknown>>): void {
  if (reply.statusCode !== status) reply.code(status)
  const given = { ...reply.getHeaders() }
  for (const name of new Set([...Object.keys(given), ...Object.keys(headers)])) {
    if (given[name] === headers[name]) continue
    reply.removeHeader(name)
    if (headers[name] !== undefined) reply.header(name, headers[name] as string)
  }
}
