import type { StatsDocument } from 'posthaste'
import type { PageDocument } from '../../src/dashboard/document.ts'

declare const page: PageDocument

export const nested: number = page.self.memory_bytes
export const ofElements: string = page.endpoints[0]!.last_seen
export const severalWords: readonly unknown[] | undefined = page.database?.n_plus_one
export const withDigits: readonly [number, number] | null = page.requests.latency_ms.p95_ci
export const withUnderscore: number | null = page.requests.latency_ms.p99_9
export const named: { readonly hit_rate: number | null } | undefined = page.cache.contactsByOwner
export const literal: 'posthaste.performance/1' = page.schema

// @ts-expect-error -- no key keeps its capital letters
export const capital: unknown = page.generatedAt

// @ts-expect-error -- the page reads the document as it is sent, not the monitor's own
export const camel: PageDocument = {} as StatsDocument
