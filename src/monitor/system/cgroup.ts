import type { LimitSource } from '../types.ts'
import type { SystemReaders } from './readers.ts'

/** What the kernel allows this process's group. */
export interface Cgroup {
  /** Processors' worth of time that may be used; `undefined` without a quota. */
  readonly quotaCores: number | undefined
  /** File that counts throttled periods. */
  readonly cpuStat: string | undefined
  /** The tightest memory limit on the way to the root, with the files of the group that has it; `undefined` without one. */
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
 * Finds the control groups of this process, of either version and in hybrids of both (Linux
 * `Documentation/admin-guide/cgroup-v1/memory.rst`, `cgroup-v2.rst`).
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
  const foldersV2 = ancestors(mount, unified)
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

/** Memory that cannot be taken back without harm: what is used, less file pages not used lately, as the kubelet counts. */
export function workingSetOf(files: Files, { usageFile, statFile }: MemoryGroup): number | undefined {
  const usage = numberOf(files.readText(usageFile))
  const stat = files.readText(statFile)
  if (usage === undefined || stat === undefined) return undefined
  const inactive = numberOf((/^total_inactive_file (\d+)/m.exec(stat) ?? /^inactive_file (\d+)/m.exec(stat))?.[1])
  return Math.max(0, usage - (inactive ?? 0))
}

/** How many quota periods there were, and in how many the group was held back. */
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
  // Unlimited is `max`, or a number near 2^63 or 2^64: more than there is.
  const total = files.totalMemory()
  let tightest: MemoryGroup | undefined
  for (const folder of folders) {
    const limitBytes = numberOf(files.readText(`${folder}/${limitName}`))
    if (limitBytes === undefined || limitBytes === 0 || limitBytes >= total) continue
    if (tightest !== undefined && tightest.limitBytes <= limitBytes) continue
    tightest = { limitBytes, source, usageFile: `${folder}/${usageName}`, statFile: `${folder}/memory.stat` }
  }
  return tightest
}

/** Processors' worth of time: `cpu.max` of version 2, `cpu.cfs_quota_us` of version 1. */
function quotaOf(files: Files, folder: string): number | undefined {
  const max = files.readText(`${folder}/cpu.max`)?.trim().split(' ')
  const quota = numberOf(max?.[0] ?? files.readText(`${folder}/cpu.cfs_quota_us`))
  const period = numberOf(max?.[1] ?? files.readText(`${folder}/cpu.cfs_period_us`))
  return quota === undefined || period === undefined || quota <= 0 || period <= 0 ? undefined : quota / period
}

/** Controllers that are mounted together have a folder by both names, and mostly links by each. */
function foldersOfV1(files: Files, controllers: readonly string[], name: string, path: string): string[] {
  const roots = [...new Set([controllers.join(','), [...controllers].reverse().join(','), name])]
  return roots.map((root) => ancestors(`${mount}/${root}`, path)).find((folders) => isThere(files, folders, name)) ?? []
}

function isThere(files: Files, folders: readonly string[], name: string): boolean {
  const file = name === 'cpu' ? 'cpu.cfs_quota_us' : 'memory.limit_in_bytes'
  return folders.some((folder) => files.readText(`${folder}/${file}`) !== undefined)
}

/** The folder of a group and those above it, nearest first. Inside a namespace only the mount itself may exist. */
function ancestors(root: string, path: string): string[] {
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
