import type { Hono } from 'hono'
import type { Dialect } from 'kysely'

/** What a runtime does in its own way. */
export interface Platform {
  readonly name: RuntimeName
  /** A new and empty SQLite database. */
  createDialect(): Promise<Dialect>
  /** Serves the app where each request is a request of its own to the runtime. */
  serve(app: Hono): Promise<{ fetch(path: string, init?: RequestInit): Promise<Response>; close(): Promise<void> }>
}

export type RuntimeName = 'node22' | 'node24' | 'node26' | 'bun' | 'deno' | 'workers'

export interface Case {
  readonly name: string
  /** Runtimes that lack what the case is about, and what that is. */
  readonly lacking: Readonly<Partial<Record<RuntimeName, string>>>
  readonly run: (platform: Platform) => Promise<void>
}

export const cases: Case[] = []

export function test(name: string, run: Case['run'], lacking: Case['lacking'] = {}): void {
  cases.push({ name, run, lacking })
}

/** The result of one case: `undefined` when it passed, or what it threw. */
export async function runCase({ run }: Case, platform: Platform): Promise<string | undefined> {
  try {
    await run(platform)
    return undefined
  } catch (error) {
    return error instanceof Error ? `${error.stack ?? error}` : String(error)
  }
}

/** Runs all cases that the platform can run, and prints the results as one line of JSON. */
export async function runAll(platform: Platform): Promise<void> {
  // The library's own timers keep no process alive.
  const alive = setInterval(() => {}, 1_000)
  const results: Record<string, string | null> = {}
  for (const one of cases) {
    if (one.lacking[platform.name] === undefined) results[one.name] = (await runCase(one, platform)) ?? null
  }
  clearInterval(alive)
  console.log(`\nRESULTS ${JSON.stringify(results)}`)
}
