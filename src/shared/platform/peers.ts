import { PeerMissingError } from '../errors.ts'

/**
 * Imports an optional peer.
 *
 * @param what - what needs the package, for the message
 * @param install - the command to type
 * @throws {@link PeerMissingError} when the package, or one that it needs, is not installed; any error that the package
 *   throws
 */
export async function loadPeer<Module>(name: string, what: string, install: string): Promise<Module> {
  try {
    return await importPackage(name)
  } catch (error) {
    throw isMissing(error) ? createPeerError(what, install, error) : error
  }
}

/** Imports an optional peer if possible. `undefined` if it is not installed, or cannot be loaded. */
export async function loadPeerIfInstalled<Module>(name: string): Promise<Module | undefined> {
  return importPackage<Module>(name).catch(() => undefined)
}

/** Bundlers must leave this import alone: the package may not be installed. */
function importPackage<Module>(name: string): Promise<Module> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ name)
}

/**
 * Like {@link loadPeer}, for a function that cannot wait. Looks for the package from the program's file, then from the
 * working directory.
 *
 * @param user - another package that needs this one: the search then starts at that package
 */
export function requirePeer<Module>(name: string, what: string, install: string, user?: string): Module {
  let missing: unknown
  // If `createRequire` were imported, bundlers would follow it.
  const { createRequire } = process.getBuiltinModule('node:module')
  // The search cannot start at this file: only `import.meta` knows its path, which a CommonJS build of the program does
  // not have.
  const { resolve } = process.getBuiltinModule('node:path')
  for (const start of [process.argv[1], 'index.js']) {
    if (start === undefined) continue
    try {
      // Not every program has a file: in a worker with `eval`, the first is '[worker eval]', and after `node -` it is '-'.
      const require = createRequire(resolve(start))
      return user === undefined ? require(name) : createRequire(require.resolve(user))(name)
    } catch (error) {
      if (!isMissing(error)) throw error
      missing = error
    }
  }
  throw createPeerError(what, install, missing)
}

function createPeerError(what: string, install: string, cause: unknown): PeerMissingError {
  return new PeerMissingError(`${what} needs a package that is not installed: ${install}`, { cause })
}

/** The code and the message of this error differ between runtimes. On Workers it has no code. */
function isMissing(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown }
  if (code === undefined) return /^No such module/.test(String(message))
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
}
