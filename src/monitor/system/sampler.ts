import { constants, PerformanceObserver } from 'node:perf_hooks'
import { isNode } from '../../shared/platform/runtime.ts'
import type { Slicing } from '../traffic/sliding-window.ts'
import type { SystemStats } from '../types.ts'
import { type Cgroup, findCgroup, workingSetOf } from './cgroup.ts'
import { CpuSampler } from './cpu.ts'
import { DiskSampler } from './disk.ts'
import { EventLoopSampler } from './event-loop.ts'
import { ProcessSampler } from './processes.ts'
import type { SystemReaders } from './readers.ts'
import { RecentDurations } from './recent-durations.ts'

/** Limits can change while the process runs: they are read again this often. */
const limitsMs = 60_000
/** CPU usage over a shorter time than this is noise. */
const youngMs = 500
/** How long a stall counts for the alert: a real problem blocks the loop again within this time. */
const recentMs = 15_000

export interface SamplerOptions {
  readonly readers: SystemReaders
  readonly slicing: Slicing
  readonly disk: readonly string[]
  readonly processes: () => readonly number[]
  readonly clock: () => number
  /** Called after each sample. */
  readonly onSample: () => void
  readonly onStall: (ms: number) => void
  readonly onGc: (pause: GcPause) => void
  /** Called when the space of a file system cannot be read. */
  readonly onDiskError: (path: string, error: unknown) => void
}

/** Samples the process and the machine. Between samples, all values are those of the last one. */
export class SystemSampler {
  /** Number of samples so far. The constructor takes the first. */
  samples = 1
  /** The longest stall in the last sample interval. */
  lastStallMs = 0
  readonly #options: SamplerOptions
  readonly #disk: DiskSampler
  readonly #processes: ProcessSampler
  readonly #stalls: RecentDurations
  readonly #gc: RecentDurations
  /** Those that count for the alert. They are kept one by one, because the slices of a long window are longer. */
  #recentStalls: Array<{ readonly at: number; readonly ms: number }> = []
  readonly #cpuSampler: CpuSampler
  #loop: EventLoopSampler | undefined
  /** Whether stalls and garbage collections have been measured. */
  #hasWatched = false
  #stopGcObserver: () => void = () => {}
  #cgroup: Cgroup
  #cgroupAt: number
  #cpu: ReturnType<CpuSampler['sample']>
  #memory: SystemStats['memory']
  #eventLoop: Pick<SystemStats['eventLoop'], 'utilization' | 'delayMs'> = { utilization: null, delayMs: null }
  #sampledAt: number

  constructor(options: SamplerOptions) {
    const { readers, slicing, disk, processes, onDiskError } = options
    this.#options = options
    this.#stalls = new RecentDurations(slicing)
    this.#gc = new RecentDurations(slicing)
    this.#disk = new DiskSampler(readers, disk, onDiskError)
    this.#processes = new ProcessSampler(readers, processes)
    this.#cgroup = findCgroup(readers)
    this.#cgroupAt = this.#sampledAt = readers.time()
    this.#cpuSampler = new CpuSampler(readers)
    this.#cpu = this.#cpuSampler.sample(this.#cgroup)
    this.#memory = readMemory(readers, this.#cgroup)
  }

  /** Also measures the event loop and the garbage collector, from now on. */
  watch(): void {
    this.#hasWatched = true
    this.#loop = new EventLoopSampler()
    const { clock, onGc } = this.#options
    this.#stopGcObserver = observeGarbageCollection((pause) => {
      this.#gc.add(clock(), pause.ms)
      onGc(pause)
    })
  }

  /**
   * Takes a sample. Samples of disks and other processes are there only when the promise settles. It rejects only when the
   * option `processes` throws or returns a promise.
   */
  async sample(): Promise<void> {
    const { readers, clock, onSample, onStall } = this.#options
    this.samples++
    this.#sampledAt = readers.time()
    if (this.#sampledAt - this.#cgroupAt >= limitsMs) {
      this.#cgroupAt = this.#sampledAt
      this.#cgroup = findCgroup(readers)
    }
    this.#cpu = this.#cpuSampler.sample(this.#cgroup)
    this.#memory = readMemory(readers, this.#cgroup)
    if (this.#loop !== undefined) {
      const { stalls, ...eventLoop } = this.#loop.sample()
      this.#eventLoop = eventLoop
      this.lastStallMs = stalls[0] ?? 0
      this.#recentStalls = this.#recentStallsAt(clock())
      for (const ms of stalls) {
        this.#stalls.add(clock(), ms)
        this.#recentStalls.push({ at: clock(), ms })
        onStall(ms)
      }
    }
    onSample()
    await Promise.all([this.#disk.sample(), this.#processes.sample()])
  }

  /** Takes a sample, unless the last one is recent. After {@link watch}, does nothing, because a timer takes the samples. */
  sampleIfDue(): void {
    if (this.#loop === undefined && this.#options.readers.time() - this.#sampledAt >= youngMs)
      this.sample().catch(() => {})
  }

  /** The longest recent stall; `null` when stalls are not measured. */
  longestStallMs(now: number): number | null {
    return this.#loop === undefined ? null : Math.max(0, ...this.#recentStallsAt(now).map(({ ms }) => ms))
  }

  /** Stalls and garbage collections since the start or the last `clear()`; `null` where they are not measured. */
  get lifetime(): Record<'stalls' | 'gc', { readonly count: number; readonly totalMs: number } | null> {
    const hasGc = this.#hasWatched && isNode
    return { stalls: this.#hasWatched ? this.#stalls.lifetime : null, gc: hasGc ? this.#gc.lifetime : null }
  }

  stats(now: number): SystemStats {
    const { percent, ...cpu } = this.#cpu
    const disk = this.#disk.usage
    const { count, totalMs, maxMs } = this.#stalls.read(now)
    return {
      cpuPercent: percent,
      memoryPercent: percentOf(this.#memory.workingSetBytes, this.#memory.limitBytes),
      diskPercent: disk.length === 0 ? null : Math.max(...disk.map((usage) => usage.percent)),
      cpu,
      memory: this.#memory,
      disk,
      eventLoop: { ...this.#eventLoop, stalls: this.#hasWatched ? { count, totalMs, longestMs: maxMs } : null },
      gc: this.#hasWatched && isNode ? this.#gc.read(now) : null,
      processes: this.#processes.usage,
    }
  }

  clear(): void {
    this.#recentStalls = []
    this.#stalls.clear()
    this.#gc.clear()
  }

  close(): void {
    this.#loop?.close()
    this.#loop = undefined
    this.#stopGcObserver()
  }

  #recentStallsAt(now: number) {
    return this.#recentStalls.filter(({ at }) => at > now - recentMs)
  }
}

/** The limits of `overload()`: milliseconds of delay, and percentages. */
export interface OverloadLimits {
  readonly eventLoopMs: number
  readonly memory: number
  readonly heap: number
  readonly shedding: number
}

/** Why the server should turn requests away now. */
export interface OverloadReason {
  /** Median delay of the event loop (ms), working set of its limit (%), heap of its limit (%), requests turned away (%). */
  readonly kind: 'event_loop' | 'memory' | 'heap' | 'shedding'
  readonly value: number
  readonly limit: number
}

/** The first of the limits that the system exceeds. */
export function findOverload(
  { eventLoop, memory, memoryPercent }: SystemStats,
  limits: OverloadLimits,
  shedRatio: number,
): OverloadReason | undefined {
  // Without a limit for this process, the memory is the machine's. Other programs may fill it, so it does not count.
  const ownMemoryPercent = memory.limitSource === 'system' ? 0 : (memoryPercent ?? 0)
  const measured: OverloadReason[] = [
    { kind: 'event_loop', value: eventLoop.delayMs?.p50 ?? 0, limit: limits.eventLoopMs },
    { kind: 'memory', value: ownMemoryPercent, limit: limits.memory },
    { kind: 'heap', value: memory.heapPercent ?? 0, limit: limits.heap },
    { kind: 'shedding', value: shedRatio * 100, limit: limits.shedding },
  ]
  return measured.find(({ value, limit }) => value > limit)
}

/** A garbage collection. */
export interface GcPause {
  /** The value of OpenTelemetry's attribute `v8js.gc.type`. */
  readonly type: string
  readonly ms: number
}

const gcTypes = /* @__PURE__ */ (() =>
  new Map<number | undefined, string>([
    [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
    [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
    [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weakcb'],
  ]))()

/** Calls back with each garbage collection; returns a function that stops it. */
function observeGarbageCollection(onCollected: (pause: GcPause) => void): () => void {
  if (!isNode) return () => {}
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { duration, detail } = entry as typeof entry & { readonly detail?: { readonly kind?: number } }
      onCollected({ type: gcTypes.get(detail?.kind) ?? 'minor', ms: duration })
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  return () => observer.disconnect()
}

function percentOf(used: number | null, limit: number | null): number | null {
  return used === null || limit === null ? null : (used / limit) * 100
}

/** The memory of the cgroup against its limit; without a limit, that of this process against the machine's. */
function readMemory(readers: SystemReaders, cgroup: Cgroup): SystemStats['memory'] {
  const { rss, heapUsed, heapLimit } = readers.memory()
  const workingSetBytes = cgroup.memory === undefined ? undefined : workingSetOf(readers, cgroup.memory)
  const process = { rssBytes: rss, heapUsedBytes: heapUsed, heapPercent: percentOf(heapUsed, heapLimit) }
  if (cgroup.memory === undefined || workingSetBytes === undefined) {
    return { workingSetBytes: rss, limitBytes: readers.totalMemory(), limitSource: 'system', ...process }
  }
  const { limitBytes, source } = cgroup.memory
  return { workingSetBytes, limitBytes, limitSource: source, ...process }
}
