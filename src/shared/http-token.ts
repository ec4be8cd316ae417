/** Whether the text is a token of HTTP (RFC 9110, 5.6.2), as names of headers are. */
export function isHttpToken(text: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(text)
}
