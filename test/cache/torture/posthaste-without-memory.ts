import { openWith } from './posthaste.ts'
import type { OpenSubject } from './subject.ts'

/** Every hit is read from Redis. */
export const open: OpenSubject = openWith({ memory: false })
