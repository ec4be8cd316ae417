import type { LimitSource } from '../types.ts'
import type { SystemReaders } from './readers.ts'

/** The limits of this process's control group. */
export interface Cgroup {
  /** How many cores' worth of CPU time the group may use; `undefined` without a quota. */
  readonly quotaCores: number | undefined
  /** Path of the file that counts throttled periods. */
  readonly cpuStat: string | undefined
  /** The group with the lowest memory limit on the way to the root; `undefined` without a limit. */
  readonly memory: MemoryGroup | undefined
}

interface MemoryGroup {
  readonly limitBytes: number
  readonly source: Exclude<LimitSource, 'system'>
  readonly usageFile: string
  readonly statFile: string
}

type Files = Pick<SystemReaders, 'readText' | 'totalMemory'>

const mount = '/sys/fs/cgroup'

/**
 * Finds the limits of this process in cgroup v1, v2 and hybrids of both (Linux documentation,
 * `admin-guide/cgroup-v1/memory.rst` and `cgroup-v2.rst`).
 */
export function findCgroup(files: Files): Cgroup {
  const groups = files.readText('/proc/self/cgroup')
  if (groups === undefined) return { quotaCores: undefined, cpuStat: undefined, memory: undefined }
  const lines = groups.split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    return controllers === undefined || path === undefined ? [] : [{ controllers: controllers.split(','), path }]
  })
  const memoryV1 = lines.find(({ controllers }) => controllers.includes('memory'))
  const cpuV1 = lines.find(({ controllers }) => controllers.includes('cpu'))
  const unified = lines.find(({ controllers }) => controllers[0] === '')?.path ?? '/'
  const foldersV2 = pathsUp(mount, unified)
  const cpuFolders = cpuV1 === undefined ? foldersV2 : foldersOfV1(files, cpuV1.controllers, 'cpu', cpuV1.path)
  return {
    quotaCores: least(cpuFolders.map((folder) => quotaOf(files, folder))),
    cpuStat: cpuFolders
      .map((folder) => `${folder}/cpu.stat`)
      .find((file) => files.readText(file)?.includes('nr_periods')),
    memory:
      memoryV1 === undefined
        ? memoryGroup(files, foldersV2, 'cgroup-v2', 'memory.max', 'memory.current')
        : memoryGroup(
            files,
            foldersOfV1(files, memoryV1.controllers, 'memory', memoryV1.path),
            'cgroup-v1',
            'memory.limit_in_bytes',
            'memory.usage_in_bytes',
          ),
  }
}

/** Memory in use without inactive file pages, which the kernel can free: what the kubelet calls the working set. */
export function workingSetOf(files: Files, { usageFile, statFile }: MemoryGroup): number | undefined {
  const usage = numberOf(files.readText(usageFile))
  const stat = files.readText(statFile)
  if (usage === undefined || stat === undefined) return undefined
  const inactive = numberOf((/^total_inactive_file (\d+)/m.exec(stat) ?? /^inactive_file (\d+)/m.exec(stat))?.[1])
  return Math.max(0, usage - (inactive ?? 0))
}

/** Numbers of quota periods, and of those in which the group was throttled. */
export function throttlingOf(files: Files, cpuStat: string): { periods: number; throttled: number } | undefined {
  const stat = files.readText(cpuStat) ?? ''
  const periods = numberOf(/^nr_periods (\d+)/m.exec(stat)?.[1])
  const throttled = numberOf(/^nr_throttled (\d+)/m.exec(stat)?.[1])
  return periods === undefined || throttled === undefined ? undefined : { periods, throttled }
}

function memoryGroup(
  files: Files,
  folders: readonly string[],
  source: MemoryGroup['source'],
  limitName: string,
  usageName: string,
): MemoryGroup | undefined {
  // No limit is written as `max`, or as a number near 2^63 or 2^64, which is more memory than the machine has.
  const total = files.totalMemory() ?? Infinity
  let tightest: MemoryGroup | undefined
  for (const folder of folders) {
    const limitBytes = numberOf(files.readText(`${folder}/${limitName}`))
    if (limitBytes === undefined || limitBytes <= 0 || limitBytes >= total) continue
    if (tightest !== undefined && tightest.limitBytes <= limitBytes) continue
    tightest = { limitBytes, source, usageFile: `${folder}/${usageName}`, statFile: `${folder}/memory.stat` }
  }
  return tightest
}

/** The quota in cores, from `cpu.max` of version 2 or `cpu.cfs_quota_us` of version 1. */
function quotaOf(files: Files, folder: string): number | undefined {
  const max = files.readText(`${folder}/cpu.max`)?.trim().split(' ')
  const quota = numberOf(max?.[0] ?? files.readText(`${folder}/cpu.cfs_quota_us`))
  const period = numberOf(max?.[1] ?? files.readText(`${folder}/cpu.cfs_period_us`))
  return quota === undefined || period === undefined || quota <= 0 || period <= 0 ? undefined : quota / period
}

/** Controllers mounted together share a folder, `cpu,cpuacct` in either order; most systems also link each name. */
function foldersOfV1(files: Files, controllers: readonly string[], name: string, path: string): string[] {
  const roots = [...new Set([controllers.join(','), [...controllers].reverse().join(','), name])]
  return (
    roots.map((root) => pathsUp(`${mount}/${root}`, path)).find((folders) => hasController(files, folders, name)) ?? []
  )
}

function hasController(files: Files, folders: readonly string[], name: string): boolean {
  const file = name === 'cpu' ? 'cpu.cfs_quota_us' : 'memory.limit_in_bytes'
  return folders.some((folder) => files.readText(`${folder}/${file}`) !== undefined)
}

/** The folder of a group and its parents, nearest first. In a cgroup namespace only the mount itself may exist. */
function pathsUp(root: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..')
  return Array.from({ length: parts.length + 1 }, (_, up) => [root, ...parts.slice(0, parts.length - up)].join('/'))
}

function numberOf(text: string | undefined): number | undefined {
  const trimmed = text?.trim()
  return trimmed !== undefined && /^-?\d+$/.test(trimmed) ? Number(trimmed) : undefined
}

function least(values: ReadonlyArray<number | undefined>): number | undefined {
  const given = values.filter((value) => value !== undefined)
  return given.length === 0 ? undefined : Math.min(...given)
}
