import { Emitter } from '../shared/emitter.ts'
import { messageOf } from '../shared/errors.ts'
import { Admission } from './admission/admission.ts'
import { AlertJudge } from './alerts/alert-judge.ts'
import { CacheWatch } from './cache-watch.ts'
import { type ExposeOptions, type PrometheusOptions, parsePrometheusOptions } from './exposition/prometheus-options.ts'
import { Fleet } from './fleet/fleet.ts'
import { Health } from './health/health.ts'
import type { MonitorSettings } from './options.ts'
import { Recorder } from './recorder.ts'
import type { RecorderEvents } from './recorder-events.ts'
import { StatsDocuments } from './stats-documents.ts'
import { type GcPause, SystemSampler } from './system/sampler.ts'
import type { MonitorEvents } from './types.ts'

/** What one monitor consists of. */
export interface MonitorServices {
  readonly events: Emitter<MonitorEvents & RecorderEvents & { gc: GcPause }>
  /** Turns an error of the user's code or of the platform into a warning. */
  readonly warn: (code: string, problem: string, error: unknown) => void
  readonly recorder: Recorder
  readonly caches: CacheWatch
  readonly admission: Admission
  readonly system: SystemSampler
  readonly alerts: AlertJudge
  readonly documents: StatsDocuments
  readonly fleet: Fleet
  readonly health: Health
  readonly exposeMetrics: (options: PrometheusOptions) => AsyncIterable<string>
}

/** Creates the services of a monitor, and connects their events and errors. */
export function createServices(settings: MonitorSettings): MonitorServices {
  const { clock, slicing, wall } = settings
  const warn: MonitorServices['warn'] = (code, problem, error) =>
    settings.warn({ code, message: `${problem}: ${messageOf(error)}` })
  const events: MonitorServices['events'] = new Emitter((error) => warn('MONITOR_LISTENER', 'A listener threw', error))
  const caches = new CacheWatch(settings.caches, slicing, clock(), (name, error) =>
    warn('MONITOR_CACHE', `The statistics of the cache '${name}' cannot be read`, error),
  )
  const recorder = new Recorder(settings, events)
  const admission = new Admission()
  const health = new Health({
    ...settings,
    sheddingMs: () => admission.sheddingMs,
    onChange: (event) => events.emit('check', event),
  })
  const system: SystemSampler = new SystemSampler({
    ...settings,
    onSample: () => recorder.history.sample(clock(), recorder.inFlight, system.stats(clock())),
    onStall: (ms) => events.emit('stall', { at: wall.isoOf(clock()), ms }),
    onGc: (pause) => events.emit('gc', pause),
    onDiskError: (path, error) => warn('MONITOR_DISK', `The space of '${path}' cannot be read`, error),
  })
  const sources = { recorder, caches, admission, system }
  const alerts: AlertJudge = new AlertJudge(settings, sources, {
    onEvent: (event) => events.emit('alert', event),
    readDatabase: () => documents.readDatabase(),
  })
  const documents = new StatsDocuments({
    ...sources,
    settings,
    alerts,
    onSourceError: (name, error) => warn('MONITOR_SOURCE', `The source '${name}' threw`, error),
  })
  // Imported at the first scrape, because many monitors are never scraped.
  const metrics = async () =>
    (await import('./exposition/metric-families.ts')).readMetrics({ settings, alerts, ...sources })
  const fleet = new Fleet({
    ...settings,
    transport: settings.fleet,
    windowMs: slicing.windowMs,
    publication: () => documents.publication(),
    metrics,
    onError: (error) => warn('MONITOR_FLEET', 'The fleet cannot be reached', error),
  })
  async function* expose(options: ExposeOptions): AsyncGenerator<string> {
    const families = options.scope === 'fleet' ? await fleet.readMetrics() : await metrics()
    if (families === undefined) return
    const { toPrometheusText } = await import('./exposition/prometheus-text.ts')
    yield* toPrometheusText(families, options)
  }
  return {
    events,
    warn,
    recorder,
    caches,
    admission,
    system,
    alerts,
    documents,
    fleet,
    health,
    exposeMetrics: (options) => expose(parsePrometheusOptions(options)),
  }
}
