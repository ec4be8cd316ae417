import type { LimitSource } from '../types.ts'
import type { SystemReaders } from './readers.ts'

/** The limits of this process, most of which its control group sets. */
export interface Cgroup {
  /** How many cores this process may use, by the group's quota and its own affinity; `null` where the platform does not say it. */
  readonly limitCores: number | null
  /** Path of the file that counts throttled periods; `undefined` without a quota. */
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

/** Numbers of quota periods, and of those in which the group was throttled. */
export interface Throttling {
  readonly periods: number
  readonly throttled: number
}

type Files = Pick<SystemReaders, 'readText' | 'totalMemory'>

/** The files of the two versions that have a group's memory limit and usage. */
const memoryFiles = {
  'cgroup-v1': { limit: 'memory.limit_in_bytes', usage: 'memory.usage_in_bytes' },
  'cgroup-v2': { limit: 'memory.max', usage: 'memory.current' },
} as const

const mount = '/sys/fs/cgroup'

/**
 * Finds the limits of this process in cgroup v1, v2 and hybrids of both (Linux documentation,
 * `admin-guide/cgroup-v1/memory.rst` and `cgroup-v2.rst`).
 */
export function findCgroup(readers: SystemReaders): Cgroup {
  const lines = (readers.readText('/proc/self/cgroup') ?? '').split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    return controllers === undefined || path === undefined ? [] : [{ controllers: controllers.split(','), path }]
  })
  const memoryV1 = lines.find(({ controllers }) => controllers.includes('memory'))
  const cpuV1 = lines.find(({ controllers }) => controllers.includes('cpu'))
  const unified = lines.find(({ controllers }) => controllers[0] === '')?.path ?? '/'
  const foldersV2 = pathsUp(mount, unified)
  const cpuFolders = cpuV1 === undefined ? foldersV2 : foldersOfV1(readers, cpuV1.controllers, 'cpu', cpuV1.path)
  const quotas = cpuFolders.map((folder) => ({ folder, cores: quotaOf(readers, folder) }))
  // The lowest quota, the nearest of several. A group without a quota counts no periods.
  const [quota = { folder: mount, cores: Infinity }] = quotas.sort((a, b) => a.cores - b.cores || 0)
  const processors = readers.processors()
  return {
    limitCores: processors === null ? null : Math.min(quota.cores, processors),
    cpuStat: quota.cores === Infinity ? undefined : `${quota.folder}/cpu.stat`,
    memory:
      memoryV1 === undefined
        ? memoryGroup(readers, foldersV2, 'cgroup-v2')
        : memoryGroup(readers, foldersOfV1(readers, memoryV1.controllers, 'memory', memoryV1.path), 'cgroup-v1'),
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

export function throttlingOf(files: Files, cpuStat: string): Throttling | undefined {
  const stat = files.readText(cpuStat) ?? ''
  const periods = numberOf(/^nr_periods (\d+)/m.exec(stat)?.[1])
  const throttled = numberOf(/^nr_throttled (\d+)/m.exec(stat)?.[1])
  return periods === undefined || throttled === undefined ? undefined : { periods, throttled }
}

/** The group with the lowest limit, the nearest of several. */
function memoryGroup(files: Files, folders: readonly string[], source: MemoryGroup['source']): MemoryGroup | undefined {
  const { limit, usage } = memoryFiles[source]
  // No limit is written as `max`, or as a number near 2^63 or 2^64, which is more memory than the machine has.
  const total = files.totalMemory() ?? Infinity
  return folders
    .flatMap((folder): MemoryGroup[] => {
      const limitBytes = numberOf(files.readText(`${folder}/${limit}`)) ?? 0
      if (limitBytes <= 0 || limitBytes >= total) return []
      return [{ limitBytes, source, usageFile: `${folder}/${usage}`, statFile: `${folder}/memory.stat` }]
    })
    .sort((a, b) => a.limitBytes - b.limitBytes)[0]
}

/** The quota in cores, from `cpu.max` of version 2 or `cpu.cfs_quota_us` of version 1; `Infinity` without one. */
function quotaOf(files: Files, folder: string): number {
  const max = files.readText(`${folder}/cpu.max`)?.trim().split(' ')
  const quota = numberOf(max?.[0] ?? files.readText(`${folder}/cpu.cfs_quota_us`)) ?? 0
  const period = numberOf(max?.[1] ?? files.readText(`${folder}/cpu.cfs_period_us`)) ?? 0
  return quota > 0 && period > 0 ? quota / period : Infinity
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
