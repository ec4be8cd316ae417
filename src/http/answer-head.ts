import vary from 'vary'
import type { CachedAnswer } from './stored-response.ts'

/** The head of an answer that is not sent yet. */
export interface AnswerHead {
  getHeader(name: string): unknown
  setHeader(name: string, value: string): unknown
  removeHeader(name: string): unknown
}

/** Puts the headers of a cached answer in place of what a handler may have said about a body that is now another. */
export function putHeaders(head: AnswerHead, headers: CachedAnswer['headers']): void {
  for (const name of replaced) head.removeHeader(name)
  for (const [name, value] of headers) {
    const before = name === 'vary' ? head.getHeader(name) : undefined
    head.setHeader(name, before === undefined ? value : vary.append(String(before), value))
  }
}

const replaced = ['content-type', 'content-length', 'transfer-encoding', 'accept-ranges', 'etag']

/** Adds what this cache did to what others, nearer to the origin, have said they did (RFC 9211, 2). */
export function addCacheStatus(head: AnswerHead, cacheStatus: string): void {
  const before = head.getHeader('cache-status')
  head.setHeader('cache-status', before === undefined ? cacheStatus : `${String(before)}, ${cacheStatus}`)
}
