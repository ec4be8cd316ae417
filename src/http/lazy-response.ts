/**
 * `Response`, for a class to extend. Node loads the whole of `fetch` when the name `Response` is first read, which would be a
 * third of the time that importing this library takes, so it is read when the first one is made.
 */
export const LazyResponse: typeof Response = /* @__PURE__ */ createLazyResponse()

function createLazyResponse(): typeof Response {
  function Lazy(...given: ConstructorParameters<typeof Response>): Response {
    if (!(Lazy.prototype instanceof Response)) {
      Object.setPrototypeOf(Lazy, Response)
      Object.setPrototypeOf(Lazy.prototype, Response.prototype)
    }
    return Reflect.construct(Response, given, new.target as never)
  }
  return Lazy as unknown as typeof Response
}
