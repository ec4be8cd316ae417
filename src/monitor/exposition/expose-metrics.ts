import type { AlertJudge } from '../alerts/alert-judge.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { MonitorSettings } from '../options.ts'
import type { Recorder } from '../recorder.ts'
import { type MetricsInput, metricFamilies, withNaming } from './metric-families.ts'
import type { MetricFamily } from './metric-family.ts'
import { countOpenFiles } from './process-families.ts'
import type { ExposeOptions } from './prometheus-options.ts'
import { toPrometheusText } from './prometheus-text.ts'

type MetricsSources = Pick<MetricsInput, 'caches' | 'admission' | 'system'> & {
  readonly settings: MonitorSettings
  readonly recorder: Recorder
}

/** The metrics of this process now. Judges the alerts first. */
export async function readMetrics(sources: MetricsSources, alerts: AlertJudge): Promise<Iterable<MetricFamily>> {
  await alerts.judgeInSlices()
  const openFiles = await countOpenFiles()
  const { settings, recorder } = sources
  const now = settings.clock()
  const countedSince = settings.wall.at(recorder.countingSince) / 1_000
  return metricFamilies({
    ...sources,
    now,
    openFiles,
    countedSince,
    ...recorder.unanswered(now),
    alerts: alerts.list(),
  })
}

/** The text for Prometheus, in pieces. */
export async function* exposeMetrics(
  read: () => Promise<Iterable<MetricFamily>>,
  fleet: Fleet,
  { openMetrics, naming, scope }: ExposeOptions,
): AsyncGenerator<string> {
  const families = scope === 'fleet' ? await fleet.readMetrics() : await read()
  yield* toPrometheusText(withNaming(families, naming), openMetrics)
}
