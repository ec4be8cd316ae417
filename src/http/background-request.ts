/** Copies of requests that have their answers already. */
const backgroundRequests = /* @__PURE__ */ new WeakSet<object>()

/** Marks the copy of a request with which a stale answer is renewed: no client waits for it. */
export function markBackground(request: object): void {
  backgroundRequests.add(request)
}

export function isBackground(request: object): boolean {
  return backgroundRequests.has(request)
}
