import { watchRejection } from '../../shared/rejections.ts'
import type { ProcessUsage } from '../types.ts'
import type { SystemReaders } from './readers.ts'

const intervalMs = 5_000
/** A longer list of processes is a mistake of the caller. */
const maxProcesses = 128

/** Usage of other processes, such as workers, through `pidusage`. Its first CPU value of a process is always 0. */
export class ProcessSampler {
  readonly #readers: Pick<SystemReaders, 'time' | 'processUsage'>
  readonly #pids: () => readonly number[]
  /** Processes that were sampled before. */
  readonly #sampledPids = new Set<number>()
  #usage: ProcessUsage[] = []
  #sampledAt = -Infinity
  #isRunning = false

  constructor(readers: Pick<SystemReaders, 'time' | 'processUsage'>, pids: () => readonly number[]) {
    this.#readers = readers
    this.#pids = pids
  }

  get usage(): readonly ProcessUsage[] {
    return this.#usage
  }

  async sample(): Promise<void> {
    const now = this.#readers.time()
    if (this.#isRunning || now - this.#sampledAt < intervalMs) return
    this.#sampledAt = now
    this.#isRunning = true
    try {
      const given = this.#pids()
      if (watchRejection(given)) throw new TypeError('Expected `processes` to return a list of ids, got a promise')
      const pids = [...new Set(given)].filter((pid) => pid !== process.pid).slice(0, maxProcesses)
      const usage = await Promise.all(pids.map((pid) => this.#read(pid)))
      this.#usage = usage.filter((row) => row !== undefined)
      for (const pid of this.#sampledPids) if (!pids.includes(pid)) this.#sampledPids.delete(pid)
    } finally {
      this.#isRunning = false
    }
  }

  /** `undefined` when the process is gone, for which `pidusage` throws, rejects or returns `undefined`. */
  async #read(pid: number): Promise<ProcessUsage | undefined> {
    try {
      const usage = await this.#readers.processUsage(pid)
      if (usage === undefined) return undefined
      // CPU usage is a difference between two samples.
      const cpuPercent = this.#sampledPids.has(pid) ? usage.cpu : null
      this.#sampledPids.add(pid)
      return { pid, cpuPercent, memoryBytes: usage.memory }
    } catch {
      this.#sampledPids.delete(pid)
      return undefined
    }
  }
}
