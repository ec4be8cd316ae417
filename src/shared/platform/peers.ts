import { PeerMissingError } from '../errors.ts'

/**
 * Imports an optional peer.
 *
 * @param what - what needs the package, for the message
 * @param install - the command to type
 * @throws {@link PeerMissingError} when the package or one that it needs is not installed, and what the package throws
 */
export async function loadPeer<Module>(name: string, what: string, install: string): Promise<Module> {
  try {
    return await importPackage(name)
  } catch (error) {
    throw isMissing(error) ? createPeerError(what, install, error) : error
  }
}

/** Imports an optional peer where that helps: `undefined` when it is not installed, or cannot be loaded. */
export async function loadPeerIfInstalled<Module>(name: string): Promise<Module | undefined> {
  return importPackage<Module>(name).catch(() => undefined)
}

/** Bundlers must leave this import alone: the package may not be installed. */
function importPackage<Module>(name: string): Promise<Module> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ name)
}

/**
 * Like {@link loadPeer}, for a function that cannot wait. Finds the package from the program, or the working directory.
 *
 * @param user - another package, which needs this one: it is found from there
 */
export function requirePeer<Module>(name: string, what: string, install: string, user?: string): Module {
  let missing: unknown
  // Bundlers would follow an import of `createRequire`.
  const { createRequire } = process.getBuiltinModule('node:module')
  // Not from this file: where it is, only `import.meta` knows, which a CommonJS build of the program would not have.
  for (const start of [process.argv[1], `${process.cwd()}/index.js`]) {
    if (start === undefined) continue
    try {
      const require = createRequire(start)
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

/** Runtimes differ in code and words; Workers have no code. */
function isMissing(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown }
  if (code === undefined) return /^No such module/.test(String(message))
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
}
