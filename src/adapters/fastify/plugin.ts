import type { FastifyPluginCallback } from 'fastify'
import { wrongFramework } from '../../http/expect-call.ts'

/** Makes a plugin whose hooks apply to the instance that it is registered on, as `fastify-plugin` does. */
export function plugin<Options extends object>(
  name: string,
  callback: FastifyPluginCallback<Options>,
): FastifyPluginCallback<Options> {
  const register: FastifyPluginCallback<Options> = (app, options, done) => {
    if (typeof done !== 'function' || typeof app?.addHook !== 'function') throw wrongFramework(name, 'fastify')
    try {
      // These options belong to `register`.
      const { prefix: _prefix, logLevel: _level, logSerializers: _serializers, ...own } = options as RegisterOptions
      callback(app, own as Options, done)
    } catch (error) {
      // If the error of a wrong option were thrown, it would end the process.
      done(error as Error)
    }
  }
  return Object.assign(register, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: `posthaste.${name}`,
  })
}

interface RegisterOptions {
  readonly prefix?: unknown
  readonly logLevel?: unknown
  readonly logSerializers?: unknown
}
