import { yieldIfDue } from '../../shared/time/slices.ts'
import { ByteReader, ByteWriter } from '../fleet/bytes.ts'
import type { MetricFamily, Sample } from './metric-family.ts'

const maxTextBytes = 4_096
const maxFamilies = 1_000
/** The most lines of all metrics of a process together. */
const maxSamples = 1_000_000
const maxLabels = 32
const types = ['counter', 'gauge', 'histogram', 'summary', 'info'] as const

/**
 * Encodes metrics for the fleet. Each text is written once and then referred to by its number, because most texts are the
 * same in many lines.
 */
export async function encodeFamilies(families: Iterable<MetricFamily>): Promise<Uint8Array> {
  const writer = new ByteWriter()
  const numbers = new Map<string, number>()
  const writeText = (text: string) => {
    const number = numbers.get(text)
    if (number !== undefined) {
      writer.number(number + 1)
      return
    }
    writer.number(0).text(text, maxTextBytes)
    numbers.set(text, numbers.size)
  }
  for (const { name, type, help, created, samples } of families) {
    writer.number(1)
    for (const text of [name, type, help]) writeText(text)
    writer.optional(created ?? null)
    for (const { suffix = '', labels = {}, value } of samples) {
      writer.number(1)
      writeText(suffix)
      const pairs = Object.entries(labels)
      writer.number(pairs.length)
      for (const [label, text] of pairs) {
        writeText(label)
        writeText(text)
      }
      writer.float(value)
      await yieldIfDue()
    }
    writer.number(0)
  }
  return writer.number(0).finish()
}

/** Decodes what {@link encodeFamilies} of another process has made. Throws when it is invalid or too much. */
export function decodeFamilies(bytes: Uint8Array): MetricFamily[] {
  const reader = new ByteReader(bytes)
  let count = 0
  const texts: string[] = []
  const readText = () => {
    const number = reader.number(texts.length)
    if (number > 0) return texts[number - 1] as string
    const text = reader.text(maxTextBytes)
    texts.push(text)
    return text
  }
  const families: MetricFamily[] = []
  while (reader.number(1) === 1) {
    const [name, type, help] = [readText(), readText(), readText()]
    if (families.length >= maxFamilies || !/^[a-zA-Z_]\w*$/.test(name) || !isType(type)) {
      throw new RangeError('A metric is invalid')
    }
    const created = reader.optional() ?? undefined
    const samples: Sample[] = []
    while (reader.number(1) === 1) {
      if (++count > maxSamples) throw new RangeError('A metric has too many lines')
      const suffix = readText()
      const pairs = Array.from({ length: reader.number(maxLabels) }, () => [readText(), readText()] as const)
      const value = reader.float()
      const isValid = /^\w*$/.test(suffix) && pairs.every(([label]) => /^[a-zA-Z_]\w*$/.test(label))
      if (!isValid || !Number.isFinite(value)) throw new RangeError('A line of a metric is invalid')
      samples.push({ suffix, labels: Object.fromEntries(pairs), value })
    }
    families.push({ name, type, help, created, samples })
  }
  return families
}

/** The metrics of a fleet. Counters are summed; a gauge has one line for each member, with its name as a label. */
export class FamilyMerger {
  readonly #families = new Map<string, MetricFamily & { readonly samples: Sample[] }>()
  readonly #places = new Map<string, number>()

  /** @param hasLeft - whether the member's process has ended. Only its counters stay then, so that the sums never fall */
  async add(id: string, families: Iterable<MetricFamily>, hasLeft: boolean): Promise<void> {
    for (const { name, type, help, created, samples } of families) {
      const isSummed = type === 'counter' || type === 'histogram' || type === 'summary'
      if (hasLeft && !isSummed) continue
      const merged = this.#families.get(name) ?? { name, type, help, created, samples: [] }
      if (merged.type !== type) continue
      const since = created === undefined ? merged.created : Math.min(created, merged.created ?? created)
      this.#families.set(name, { ...merged, created: since })
      for (const sample of samples) {
        if (isSummed) this.#addUp(name, merged.samples, sample)
        else merged.samples.push({ ...sample, labels: { ...sample.labels, service_instance_id: id } })
        await yieldIfDue()
      }
    }
  }

  result(): MetricFamily[] {
    return [...this.#families.values()]
  }

  #addUp(name: string, samples: Sample[], { suffix = '', labels = {}, value }: Sample): void {
    const key = JSON.stringify([name, suffix, labels])
    const place = this.#places.get(key)
    if (place === undefined) {
      this.#places.set(key, samples.length)
      samples.push({ suffix, labels, value })
    } else samples[place] = { suffix, labels, value: samples[place]!.value + value }
  }
}

function isType(type: string): type is MetricFamily['type'] {
  return (types as readonly string[]).includes(type)
}
