import { PerformanceObserver } from 'node:perf_hooks'

/** Calls back with the length of each garbage collection in milliseconds; returns what ends it. */
export function observeGarbageCollection(onPause: (ms: number) => void): () => void {
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) onPause(duration)
  })
  observer.observe({ entryTypes: ['gc'] })
  return () => observer.disconnect()
}
