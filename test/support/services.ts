import { inject } from 'vitest'
import type { Services } from './servers.ts'

declare module 'vitest' {
  interface ProvidedContext {
    services: Services
  }
}

/** The services of this run, for `describe.skipIf(!services.redis)`. */
export const services: Services = inject('services')
