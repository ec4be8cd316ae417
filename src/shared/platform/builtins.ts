/** Modules of Node that take milliseconds to load, so each is loaded only when it is first used. */
export const nodeAssert: () => typeof import('node:assert') = /* @__PURE__ */ lazily('node:assert')
export const nodeCluster: () => typeof import('node:cluster').default = /* @__PURE__ */ lazily('node:cluster')
export const nodeCrypto: () => typeof import('node:crypto') = /* @__PURE__ */ lazily('node:crypto')
export const nodeFs: () => typeof import('node:fs') = /* @__PURE__ */ lazily('node:fs')
export const nodeStream: () => typeof import('node:stream') = /* @__PURE__ */ lazily('node:stream')
export const nodeUtil: () => typeof import('node:util') = /* @__PURE__ */ lazily('node:util')
export const nodeV8: () => typeof import('node:v8') = /* @__PURE__ */ lazily('node:v8')
export const nodeZlib: () => typeof import('node:zlib') = /* @__PURE__ */ lazily('node:zlib')

function lazily<Module>(id: string): () => Module {
  let loaded: Module | undefined
  return () => (loaded ??= process.getBuiltinModule(id) as Module)
}
