/**
 * Starts the work of what a function has returned, while the caller's scope is current. `app.inject` and `supertest` send
 * their request only when somebody awaits the result, and that would happen outside of the scope.
 *
 * @returns a promise for anything that can be awaited; other results unchanged
 */
export function startLazy<Result>(result: Result): Result | Promise<Awaited<Result>> {
  if (!isThenable(result)) return result
  // Call `then` now: a promise that is resolved with the thenable would call it later.
  return new Promise((resolve, reject) => {
    result.then(resolve as (value: unknown) => void, reject)
  })
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function'
  return isObject && typeof (value as { readonly then?: unknown }).then === 'function'
}
