/**
 * How many processors the affinity of this process allows; `undefined` where the platform does not say it. `availableParallelism()` also
 * rounds the quota down, as 1.5 cores to 1 (libuv 1.49 and later).
 */
export function allowedProcessors(readText: (path: string) => string | undefined): number | undefined {
  const status = readText('/proc/self/status') ?? ''
  const allowed = countOf(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1])
  // A virtual machine allows processors that it does not have.
  const online = countOf(readText('/sys/devices/system/cpu/online'))
  return Math.min(allowed, online) || undefined
}

/** How many numbers a list of the kernel has, as 5 in `0-3,8`. */
function countOf(list = ''): number {
  return [...list.matchAll(/(\d+)(?:-(\d+))?/g)].reduce(
    (sum, [, first, last = first]) => sum + Number(last) - Number(first) + 1,
    0,
  )
}
