/** The end of a message `Expected … to be`. Messages never contain the URL, because it may contain a password. */
export const redisUrlForm =
  'a URL that starts with redis:// or rediss://, with the number of a database as its path and `%25` for `%` in its password'

export function isRedisUrl(text: string): boolean {
  if (!/^rediss?:\/\//.test(text) || !URL.canParse(text)) return false
  const { pathname, username, password } = new URL(text)
  return /^\/?\d*$/.test(pathname) && isDecodable(username + password)
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
