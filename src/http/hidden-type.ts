import { isBun } from '../shared/platform/runtime.ts'

/**
 * Whether a response may have a type that its headers do not show. Bun sends a text without `Content-Type` as `text/plain`,
 * but forgets that once `body` has been read, and then sends `application/octet-stream`.
 */
export function mayHideType({ status, headers }: Response): boolean {
  return isBun && status !== 204 && status !== 304 && !headers.has('content-type')
}

/**
 * Shows the type of a body that is a text, if its response may have hidden that.
 *
 * @param headers - where the type is set
 * @returns whether it was set
 */
export function showTextType(headers: Headers, response: Response, bytes: Uint8Array): boolean {
  const isHidden = bytes.length > 0 && mayHideType(response) && isText(bytes)
  if (isHidden) headers.set('content-type', 'text/plain;charset=UTF-8')
  return isHidden
}

function isText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}
