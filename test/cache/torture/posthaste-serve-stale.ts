import { openWith } from './posthaste.ts'
import type { OpenSubject } from './subject.ts'

/** Invalidates with `serveStale`. Its profile has no `stale`, so all of the promise must hold. */
export const open: OpenSubject = openWith({}, { serveStale: true })
