/** The head of an answer. Names are in lower case. */
export interface AnswerHead {
  readonly status: number
  /** The reason phrase that the handler gave; absent for the usual one. */
  readonly message?: string | undefined
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly hasTrailers?: boolean | undefined
}

export function headerOf({ headers }: Pick<AnswerHead, 'headers'>): (name: string) => string | undefined {
  return (name) => headers.find(([other]) => other === name)?.[1]
}

/**
 * The headers of an answer as Node and Fastify hold them. Several lines of a list become one field; lines of a header that
 * is no list stay apart.
 */
export function fieldsOf(headers: Readonly<Record<string, unknown>>): (readonly [name: string, value: string])[] {
  return Object.entries(headers).flatMap(([name, value]): (readonly [string, string])[] => {
    if (value === undefined) return []
    return Array.isArray(value) && singleFields.has(name)
      ? value.map((line) => [name, String(line)] as const)
      : [[name, fieldValue(value)]]
  })
}

/** Fields that are no lists (RFC 9110, 5.3). Which of several lines counts depends on the reader. */
const singleFields: ReadonlySet<string> = new Set([
  ...['content-type', 'content-length', 'content-location', 'content-range', 'content-disposition', 'location'],
  ...['last-modified', 'expires', 'date', 'etag', 'retry-after'],
])

/** A header's values in one field, which means the same as several lines. */
export function fieldValue(value: unknown): string {
  return Array.isArray(value) ? value.join(', ') : String(value)
}
