import { originHeaders } from '../response-key.ts'
import type { CachedRequest } from './request-rules.ts'

const maxVariants = 8
const maxHosts = 1_000
/** No origin is longer. Clients choose what is kept here. */
const maxLength = 1_000
const forgetAfterMs = 10 * 60_000

/**
 * Limits how many variants of a response clients can make by what they say of the origin: `Host` and `X-Forwarded-*` are in
 * the key, and a client may invent them.
 *
 * @returns whether a request is among the first variants of its route and host, in the last minutes
 */
export function createOriginLimit(): (request: CachedRequest, now: number) => boolean {
  const variantsByRoute = new Map<string, Map<string, Set<string>>>()
  let hosts = 0
  let since = Number.NEGATIVE_INFINITY
  return (request, now) => {
    if (now - since > forgetAfterMs || now < since) {
      variantsByRoute.clear()
      hosts = 0
      since = now
    }
    let variant = ''
    for (const name of originHeaders) {
      const value = request.header(name) ?? ''
      if (value !== '') variant += `${name}: ${value}\n`
    }
    const host = request.header('host') ?? ''
    if (host.length + variant.length > maxLength) return false
    // No text is made where maps can be nested: this runs before every hit.
    const byHost = variantsByRoute.get(request.route) ?? new Map<string, Set<string>>()
    if (byHost.size === 0) variantsByRoute.set(request.route, byHost)
    let variants = byHost.get(host)
    if (variants === undefined) {
      if (hosts === maxHosts) return false
      hosts++
      variants = new Set()
      byHost.set(host, variants)
    }
    if (variants.has(variant)) return true
    if (variants.size === maxVariants) return false
    variants.add(variant)
    return true
  }
}
