import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { PerformanceMonitor } from 'posthaste'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { type SystemReaders, systemReaders } from '../../../src/monitor/system/readers.ts'
import { SystemSampler } from '../../../src/monitor/system/sampler.ts'
import { slicing } from '../../../src/monitor/traffic/sliding-window.ts'

const gibibyte = 1_024 ** 3

describe('memory', () => {
  it('is the working set of the cgroup of its limit, version 2', () => {
    const { memory, memoryPercent } = sampled({
      '/proc/self/cgroup': '0::/system.slice/app.service\n',
      '/sys/fs/cgroup/system.slice/app.service/memory.max': '536870912\n',
      '/sys/fs/cgroup/system.slice/app.service/memory.current': '402653184\n',
      '/sys/fs/cgroup/system.slice/app.service/memory.stat': 'anon 1\ninactive_file 134217728\nactive_file 5\n',
      '/sys/fs/cgroup/system.slice/memory.max': 'max\n',
    })
    expect(memory).toMatchObject({ limitBytes: 536_870_912, workingSetBytes: 268_435_456, limitSource: 'cgroup-v2' })
    expect(memoryPercent).toBe(50)
  })

  it('is measured where the tightest limit is, if that is a group above', () => {
    const { memory } = sampled({
      '/proc/self/cgroup': '0::/pod/container\n',
      '/sys/fs/cgroup/pod/container/memory.max': '2147483648\n',
      '/sys/fs/cgroup/pod/container/memory.current': '1\n',
      '/sys/fs/cgroup/pod/memory.max': '1073741824\n',
      '/sys/fs/cgroup/pod/memory.current': '1000\n',
      '/sys/fs/cgroup/pod/memory.stat': 'inactive_file 100\n',
    })
    expect(memory).toMatchObject({ limitBytes: gibibyte, workingSetBytes: 900 })
  })

  it('is measured in its own group when that has the tightest limit', () => {
    const { memory } = sampled({
      '/proc/self/cgroup': '0::/pod/container\n',
      '/sys/fs/cgroup/pod/container/memory.max': '1073741824\n',
      '/sys/fs/cgroup/pod/container/memory.current': '1000\n',
      '/sys/fs/cgroup/pod/container/memory.stat': 'anon 5\n',
      '/sys/fs/cgroup/pod/memory.max': '2147483648\n',
    })
    // Without a count of inactive files, all that is used is taken to be needed.
    expect(memory).toMatchObject({ limitBytes: gibibyte, workingSetBytes: 1_000 })
  })

  it('is that of the machine when the use of the group cannot be read', () => {
    const { memory } = sampled({
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/memory.max': '1073741824\n',
      '/sys/fs/cgroup/memory.current': '1000\n',
    })
    expect(memory).toMatchObject({ limitBytes: 8 * gibibyte, workingSetBytes: gibibyte, limitSource: 'system' })
  })

  it('is found inside a namespace, where the path of the group is not mounted', () => {
    const { memory } = sampled({
      '/proc/self/cgroup': '0::/../../kubepods/burstable/pod1\n',
      '/sys/fs/cgroup/memory.max': '1073741824\n',
      '/sys/fs/cgroup/memory.current': '500\n',
      '/sys/fs/cgroup/memory.stat': 'inactive_file 100\n',
    })
    expect(memory).toMatchObject({ limitBytes: gibibyte, workingSetBytes: 400 })
  })

  it('is that of version 1, also in a hybrid of both', () => {
    const { memory } = sampled({
      '/proc/self/cgroup': '5:cpu,cpuacct:/\n4:memory:/docker/abc\n0::/\n',
      '/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes': '1073741824\n',
      '/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes': '1000\n',
      '/sys/fs/cgroup/memory/docker/abc/memory.stat': 'inactive_file 1\ntotal_inactive_file 300\n',
    })
    expect(memory).toMatchObject({ limitBytes: gibibyte, workingSetBytes: 700, limitSource: 'cgroup-v1' })
  })

  it.each(['max', '9223372036854771712', '18446744073709551615', '0', '-1', 'garbage'])(
    'is resident memory of the machine when the limit is %s',
    (limit) => {
      const { memory, memoryPercent } = sampled({
        '/proc/self/cgroup': '0::/\n',
        '/sys/fs/cgroup/memory.max': `${limit}\n`,
        '/sys/fs/cgroup/memory.current': '1000\n',
        '/sys/fs/cgroup/memory.stat': 'inactive_file 300\n',
      })
      expect(memory).toMatchObject({ limitBytes: 8 * gibibyte, workingSetBytes: gibibyte, limitSource: 'system' })
      expect(memoryPercent).toBe(12.5)
    },
  )

  it('has the heap against what V8 may use, not against what it has taken so far', () => {
    expect(sampled({}).memory).toMatchObject({ heapUsedBytes: 256 * 1_024 ** 2, heapPercent: 25 })
  })
})

describe('processor use', () => {
  it('is null first, then of the quota: half a processor wholly used is 100 %', () => {
    const files: Record<string, string> = {
      '/proc/self/cgroup': '0::/app\n',
      '/sys/fs/cgroup/app/cpu.max': '50000 100000\n',
      '/sys/fs/cgroup/app/cpu.stat': 'usage_usec 1\nnr_periods 100\nnr_throttled 10\n',
    }
    const machine = fakeMachine(files)
    const sampler = samplerOn(machine.readers)
    expect(sampler.stats(0).cpuPercent).toBeNull()
    machine.time += 1_000
    machine.cpu += 500_000
    files['/sys/fs/cgroup/app/cpu.stat'] = 'nr_periods 110\nnr_throttled 18\n'
    void sampler.sample()
    expect(sampler.stats(0)).toMatchObject({
      cpuPercent: 100,
      cpu: { cores: 0.5, limitCores: 0.5, throttledPercent: 80 },
    })
  })

  it('is of the quota of version 1', () => {
    const machine = fakeMachine({
      '/proc/self/cgroup': '3:cpu,cpuacct:/docker/abc\n0::/\n',
      '/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us': '150000\n',
      '/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us': '100000\n',
      '/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.stat': 'nr_periods 0\nnr_throttled 0\n',
    })
    const sampler = samplerOn(machine.readers)
    machine.time += 1_000
    machine.cpu += 750_000
    void sampler.sample()
    expect(sampler.stats(0)).toMatchObject({ cpuPercent: 50, cpu: { limitCores: 1.5, throttledPercent: 0 } })
  })

  it.each([
    ['version 2', '0::/app.slice/api.service\n', ''],
    ['version 1', '3:cpu:/app.slice/api.service\n', '/cpu'],
  ])(
    'is held back by the group that has the quota, as the slice of a service of systemd (%s)',
    (_what, groups, root) => {
      const slice = `/sys/fs/cgroup${root}/app.slice`
      const quota =
        root === ''
          ? { [`${slice}/cpu.max`]: '50000 100000\n', [`${slice}/api.service/cpu.max`]: 'max 100000\n' }
          : {
              [`${slice}/cpu.cfs_quota_us`]: '50000\n',
              [`${slice}/cpu.cfs_period_us`]: '100000\n',
              [`${slice}/api.service/cpu.cfs_quota_us`]: '-1\n',
              [`${slice}/api.service/cpu.cfs_period_us`]: '100000\n',
            }
      const files: Record<string, string> = {
        '/proc/self/cgroup': groups,
        ...quota,
        [`${slice}/cpu.stat`]: 'nr_periods 100\nnr_throttled 10\n',
        [`${slice}/api.service/cpu.stat`]: 'nr_periods 0\nnr_throttled 0\n',
      }
      const machine = fakeMachine(files)
      const sampler = samplerOn(machine.readers)
      machine.time += 1_000
      files[`${slice}/cpu.stat`] = 'nr_periods 110\nnr_throttled 18\n'
      void sampler.sample()
      expect(sampler.stats(0).cpu).toMatchObject({ limitCores: 0.5, throttledPercent: 80 })
    },
  )

  it('is of the processors when there is no quota, and none is throttled', () => {
    const machine = fakeMachine({
      '/proc/self/cgroup': '3:cpu:/\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
      '/sys/fs/cgroup/cpu/cpu.stat': 'nr_periods 0\nnr_throttled 0\n',
    })
    const sampler = samplerOn(machine.readers)
    machine.time += 2_000
    machine.cpu += 2_000_000
    void sampler.sample()
    expect(sampler.stats(0)).toMatchObject({ cpuPercent: 25, cpu: { cores: 1, limitCores: 4, throttledPercent: null } })
  })

  it.each([
    ['0-999', '0-999', 500.5],
    ['0-127', '0-1', 2],
    ['0,2-3,8', '0-15', 4],
    ['5', '0-7', 1],
  ])('is of a quota with fractions, and of the affinity %s of the processors %s', async (allowed, online, cores) => {
    const { readers } = fakeMachine({
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/cpu.max': '50050000 100000\n',
      '/proc/self/status': `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${allowed}\nMems_allowed:\t1\n`,
      '/sys/devices/system/cpu/online': `${online}\n`,
    })
    const readText = vi.spyOn(systemReaders, 'readText').mockImplementation(readers.readText)
    try {
      const sampler = samplerOn({ ...readers, processors: systemReaders.processors })
      await sampler.sample()
      expect(sampler.stats(0).cpu.limitCores).toBe(cores)
    } finally {
      readText.mockRestore()
    }
  })

  it('is not throttled as far as anybody knows when its counters are gone', () => {
    const files: Record<string, string> = {
      '/proc/self/cgroup': '0::/app\n',
      '/sys/fs/cgroup/app/cpu.max': '50000 100000\n',
      '/sys/fs/cgroup/app/cpu.stat': 'nr_periods 100\nnr_throttled 10\n',
    }
    const machine = fakeMachine(files)
    const sampler = samplerOn(machine.readers)
    delete files['/sys/fs/cgroup/app/cpu.stat']
    machine.time += 1_000
    machine.cpu += 250_000
    void sampler.sample()
    expect(sampler.stats(0)).toMatchObject({ cpuPercent: 50, cpu: { throttledPercent: null } })
  })

  it('follows a quota that is changed while we run, and reads the limits once a minute', () => {
    const files: Record<string, string> = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' }
    const machine = fakeMachine(files)
    const processors = vi.fn(machine.readers.processors)
    const sampler = samplerOn({ ...machine.readers, processors })
    files['/sys/fs/cgroup/cpu.max'] = '100000 100000\n'
    machine.time += 59_999
    void sampler.sample()
    expect(sampler.stats(0).cpu.limitCores).toBe(4)
    expect(processors).toHaveBeenCalledTimes(1)
    machine.time += 1
    void sampler.sample()
    expect(sampler.stats(0).cpu.limitCores).toBe(1)
    expect(processors).toHaveBeenCalledTimes(2)
  })
})

describe('disks', () => {
  it('are counted as df does, and one that hangs hurts nobody', async () => {
    const machine = fakeMachine({})
    const hanging = vi.fn(() => new Promise<never>(() => {}))
    const sampler = samplerOn(
      {
        ...machine.readers,
        // 100 blocks: 60 used, 10 for root only, 30 for us.
        diskSpace: async (path) => (path === '/nfs' ? hanging() : { bsize: 10, blocks: 100, bfree: 40, bavail: 30 }),
      },
      ['/', '/nfs'],
    )
    void sampler.sample()
    await new Promise(setImmediate)
    machine.time += 30_000
    void sampler.sample()
    await new Promise(setImmediate)
    const { disk, diskPercent } = sampler.stats(0)
    expect(disk).toEqual([{ path: '/', percent: (60 / 90) * 100, freeBytes: 300, totalBytes: 1_000 }])
    expect(diskPercent).toBeCloseTo(66.67)
    expect(hanging).toHaveBeenCalledTimes(1)
  })

  it('that cannot be read are said once', async () => {
    const warnings: string[] = []
    const onWarn = ({ code, message }: { code: string; message: string }) => warnings.push(`${code}: ${message}`)
    const monitor = new PerformanceMonitor({ sampleInterval: false, disk: ['/no/such'], onWarn })
    await monitor.sample()
    expect(warnings).toEqual([expect.stringContaining("MONITOR_DISK: The space of '/no/such' cannot be read: ENOENT")])
    await monitor.close()
  })

  it('of no size are empty', async () => {
    const diskSpace = async () => ({ bsize: 4_096, blocks: 0, bfree: 0, bavail: 0 })
    const sampler = samplerOn({ ...fakeMachine({}).readers, diskSpace }, ['/proc'])
    await sampler.sample()
    expect(sampler.stats(0).disk).toEqual([{ path: '/proc', percent: 0, freeBytes: 0, totalBytes: 0 }])
  })
})

describe('the load average', () => {
  it('is null on Windows, which has none', () => {
    const platform = Object.getOwnPropertyDescriptor(process, 'platform') as PropertyDescriptor
    onTestFinished(() => void Object.defineProperty(process, 'platform', platform))
    expect(systemReaders.loadAverage()).toHaveLength(3)
    Object.defineProperty(process, 'platform', { ...platform, value: 'win32' })
    expect(systemReaders.loadAverage()).toBeNull()
  })
})

describe('other processes', () => {
  it('are sampled, first without processor use, and are gone when they end', async () => {
    let child: ChildProcess | undefined
    try {
      child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
      await once(child, 'spawn')
      const time = { now: 0 }
      const readers = { ...systemReaders, time: () => time.now }
      const pids = [child.pid!, process.pid]
      const sampler = samplerOn(readers, [], () => pids)
      await sampler.sample()
      expect(sampler.stats(0).processes).toMatchObject([{ pid: child.pid, cpuPercent: null }])
      expect(sampler.stats(0).processes[0]!.memoryBytes).toBeGreaterThan(1_000_000)
      time.now += 5_000
      await sampler.sample()
      expect(sampler.stats(0).processes[0]!.cpuPercent).toBeGreaterThanOrEqual(0)
      child.kill('SIGKILL')
      await once(child, 'exit')
      time.now += 5_000
      await sampler.sample()
      expect(sampler.stats(0).processes).toEqual([])
    } finally {
      child?.kill('SIGKILL')
    }
  })
})

describe('processes that come and go', () => {
  it('have no processor use in the first sample after they came back', async () => {
    const machine = fakeMachine({})
    let pids = [7, 8]
    const processUsage = async (pid: number) => (pid === 9 ? undefined : { cpu: pid, memory: 100 * pid })
    const sampler = samplerOn({ ...machine.readers, processUsage }, [], () => pids)
    const seen: unknown[] = []
    for (const now of [[7, 8], [7, 9], [7, 8], [8]]) {
      pids = now
      await sampler.sample()
      seen.push(sampler.stats(0).processes.map(({ pid, cpuPercent }) => [pid, cpuPercent]))
      machine.time += 5_000
    }
    expect(seen).toEqual([
      [
        [7, null],
        [8, null],
      ],
      [[7, 7]],
      [
        [7, 7],
        [8, null],
      ],
      [[8, 8]],
    ])
  })
})

describe('this machine', () => {
  it('can be read', async () => {
    const sampler = samplerOn(systemReaders, ['/'])
    sampler.watch()
    await new Promise((resolve) => setTimeout(resolve, 120))
    await sampler.sample()
    const { cpuPercent, memoryPercent, diskPercent, eventLoop } = sampler.stats(0)
    sampler.close()
    for (const percent of [cpuPercent, memoryPercent, diskPercent]) {
      expect(percent).toBeGreaterThan(0)
      expect(percent).toBeLessThanOrEqual(110)
    }
    expect(eventLoop.utilization).toBeGreaterThanOrEqual(0)
    expect(eventLoop.delayMs?.max).toBeGreaterThanOrEqual(eventLoop.delayMs?.p50 ?? Infinity)
  })
})

function sampled(files: Record<string, string>) {
  return samplerOn(fakeMachine(files).readers).stats(0)
}

function samplerOn(readers: SystemReaders, disk: string[] = [], processes: () => number[] = () => []) {
  const silent = { onSample: () => {}, onStall: () => {}, onDiskError: () => {}, onGc: () => {} }
  return new SystemSampler({ readers, slicing: slicing(60_000), disk, processes, clock: () => 0, ...silent })
}

/** A machine of four processors and 8 GiB whose files, time and work are ours. */
function fakeMachine(files: Record<string, string>) {
  const machine: { time: number; cpu: number; readers: SystemReaders } = {
    time: 0,
    cpu: 0,
    readers: {
      ...systemReaders,
      time: () => machine.time,
      cpuMicroseconds: () => machine.cpu,
      readText: (path: string) => files[path],
      processors: () => 4,
      totalMemory: () => 8 * gibibyte,
      memory: () => ({ rss: gibibyte, heapUsed: 256 * 1_024 ** 2, heapLimit: gibibyte }),
    },
  }
  return machine
}
