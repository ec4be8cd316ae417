import { expectObject } from '../../shared/arguments.ts'
import { createFrom } from '../compression/compressor.ts'
import { bypass, type CacheDecision, type HandlerRun } from './decisions.ts'
import {
  type CheckedHttpCacheOptions,
  type HttpCacheOptions,
  type ResponseStore,
  resolveHttpCacheOptions,
} from './http-cache-options.ts'
import { createRepresentations } from './representations.ts'
import { responseKey } from './response-key.ts'
import { ResponseLookup, type ServedSettings } from './response-lookup.ts'
import { withHeaderRules } from './rules/harmless-headers.ts'
import { createOriginLimit } from './rules/origin-limit.ts'
import { createRecentKeys } from './rules/recent-keys.ts'
import { bypassReason, type CachedRequest } from './rules/request-rules.ts'

/** Answers requests from a cache, for any framework. */
export interface ResponseCache<Request = unknown> {
  readonly settings: ServedSettings<Request>
  /** @throws whatever the user's `key` or `tags` throws */
  respond(request: CachedRequest<Request>, run: HandlerRun): Promise<CacheDecision>
}

/** @throws TypeError or RangeError for a wrong option */
export function createResponseCache<Request, Name extends string, Tag extends string>(
  cache: ResponseStore<Name, Tag>,
  options: HttpCacheOptions<Request, Name, Tag>,
): ResponseCache<Request> {
  expectObject(cache, 'cache', ['get', 'getOrSet', 'delete'], 'a cache')
  const settings = resolveHttpCacheOptions(options as HttpCacheOptions<Request, string, string>, cache)
  return createFromSettings(cache as ResponseStore, settings)
}

/** As {@link createResponseCache}, from options that were checked. */
export function createFromSettings<Request>(
  cache: ResponseStore,
  checked: CheckedHttpCacheOptions<Request>,
): ResponseCache<Request> {
  const compressor = checked.compress === false ? undefined : createFrom(checked.compress)
  const settings = {
    ...withHeaderRules(checked, cache),
    compressor,
    representationOf: createRepresentations(compressor),
  }
  const isAmongFirst = createOriginLimit()
  const keys = {
    unstorable: createRecentKeys(settings.clock),
    toRenew: createRecentKeys(settings.clock, Number.POSITIVE_INFINITY),
  }
  return {
    settings,
    respond(request, run) {
      const reason = bypassReason(request, settings)
      if (reason !== undefined) return Promise.resolve(bypass(reason))
      const key = responseKey(request, settings)
      if (key === null) return Promise.resolve(bypass('fwd=bypass; detail=key'))
      if (!isAmongFirst(request, settings.clock())) return Promise.resolve(bypass('fwd=bypass; detail=origin'))
      // After an answer that was not stored, requests for its key do not wait for one another's answers.
      const known = request.method === 'HEAD' ? undefined : keys.unstorable.find(key)
      if (known !== undefined) return Promise.resolve(bypass(`fwd=miss; detail=${known}`))
      return new ResponseLookup(cache, settings, request, run, keys).decide(key)
    },
  }
}
