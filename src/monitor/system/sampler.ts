import type { SystemStats } from '../types.ts'
import type { Slicing } from '../window.ts'
import { type Cgroup, findCgroup } from './cgroup.ts'
import { CpuSampler } from './cpu.ts'
import { DiskSampler } from './disk.ts'
import { EventLoopSampler } from './event-loop.ts'
import { observeGarbageCollection } from './gc.ts'
import { readMemory } from './memory.ts'
import { ProcessSampler } from './processes.ts'
import type { SystemReaders } from './readers.ts'
import { RecentTimes } from './recent.ts'

/** Limits may be changed while we run, and are looked up again every minute. */
const limitsMs = 60_000
/** Processor use over less time than this says nothing. */
const youngMs = 500
/** One stall is bad luck; a problem blocks the loop again within this time. */
const recentMs = 15_000

/** How a {@link SystemSampler} is made. */
export interface SamplerOptions {
  readonly readers: SystemReaders
  readonly slicing: Slicing
  readonly disk: readonly string[]
  readonly processes: () => readonly number[]
  readonly clock: () => number
  readonly onStall: (ms: number) => void
}

/** Samples the process and the machine; between samples, everything is the last one's. */
export class SystemSampler {
  /** How many samples were taken; the first is taken when it is made. */
  samples = 1
  readonly #options: SamplerOptions
  readonly #disk: DiskSampler
  readonly #processes: ProcessSampler
  readonly #stalls: RecentTimes
  readonly #gc: RecentTimes
  readonly #cpuSampler: CpuSampler
  #loop: EventLoopSampler | undefined
  #endGc: () => void = () => {}
  #cgroup: Cgroup
  #cgroupAt: number
  #cpu: ReturnType<CpuSampler['sample']>
  #memory: SystemStats['memory']
  #eventLoop: Pick<SystemStats['eventLoop'], 'utilization' | 'delayMs'> = { utilization: null, delayMs: null }
  #lastStallMs = 0
  #sampledAt: number

  constructor(options: SamplerOptions) {
    const { readers, slicing, disk, processes } = options
    this.#options = options
    this.#stalls = new RecentTimes(slicing)
    this.#gc = new RecentTimes(slicing)
    this.#disk = new DiskSampler(readers, disk)
    this.#processes = new ProcessSampler(readers, processes)
    this.#cgroup = findCgroup(readers)
    this.#cgroupAt = this.#sampledAt = readers.time()
    this.#cpuSampler = new CpuSampler(readers, this.#cgroup)
    this.#memory = readMemory(readers, this.#cgroup)
    const limitCores = Math.min(this.#cgroup.quotaCores ?? Infinity, readers.processors())
    const loadAverage = readers.loadAverage()
    this.#cpu = { percent: null, cores: null, limitCores, throttledPercent: null, loadAverage }
  }

  /** Watches the event loop and the garbage collector too, from now on. */
  watch(): void {
    this.#loop = new EventLoopSampler()
    this.#endGc = observeGarbageCollection((ms) => this.#gc.add(this.#options.clock(), ms))
  }

  /** Takes a sample. The promise is of the slower parts, disk and other processes; it rejects only if `processes` throws. */
  async sample(): Promise<void> {
    const { readers, clock, onStall } = this.#options
    this.samples++
    this.#sampledAt = readers.time()
    if (readers.time() - this.#cgroupAt >= limitsMs) {
      this.#cgroupAt = readers.time()
      this.#cgroup = findCgroup(readers)
    }
    this.#cpu = this.#cpuSampler.sample(this.#cgroup)
    this.#memory = readMemory(readers, this.#cgroup)
    if (this.#loop !== undefined) {
      const { stalls, ...eventLoop } = this.#loop.sample()
      this.#eventLoop = eventLoop
      this.#lastStallMs = stalls[0] ?? 0
      for (const ms of stalls) {
        this.#stalls.add(clock(), ms)
        onStall(ms)
      }
    }
    await Promise.all([this.#disk.sample(), this.#processes.sample()])
  }

  /** For a monitor without a timer: takes a sample unless the last is young. */
  sampleIfOld(): void {
    if (this.#options.readers.time() - this.#sampledAt >= youngMs) this.sample().catch(() => {})
  }

  /** The longest block of the loop lately; `null` when it is not watched. */
  longestStallMs(now: number): number | null {
    return this.#loop === undefined ? null : this.#stalls.maxSince(now - recentMs)
  }

  /** The longest block of the loop in the last sample interval. */
  get lastStallMs(): number {
    return this.#lastStallMs
  }

  /** Stalls and garbage collections since the start. */
  get lifetime(): Record<'stalls' | 'gc', { readonly count: number; readonly totalMs: number }> {
    return { stalls: this.#stalls.lifetime, gc: this.#gc.lifetime }
  }

  stats(now: number): SystemStats {
    const { percent, ...cpu } = this.#cpu
    const disk = this.#disk.usage
    const { count, totalMs, maxMs } = this.#stalls.read(now)
    return {
      cpuPercent: percent,
      memoryPercent: (this.#memory.workingSetBytes / this.#memory.limitBytes) * 100,
      diskPercent: disk.length === 0 ? null : Math.max(...disk.map((usage) => usage.percent)),
      cpu,
      memory: this.#memory,
      disk,
      eventLoop: { ...this.#eventLoop, stalls: { count, totalMs, longestMs: maxMs } },
      gc: this.#gc.read(now),
      processes: this.#processes.usage,
    }
  }

  clear(): void {
    this.#stalls.clear()
    this.#gc.clear()
  }

  close(): void {
    this.#loop?.close()
    this.#endGc()
  }
}
