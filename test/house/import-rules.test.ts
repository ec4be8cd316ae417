import { globSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type Import, readImports } from '../support/imports.ts'

const features = ['pagination', 'cache', 'monitor', 'batch', 'database']
/** They show what the features measure, so they know their types; an adapter passes them the features themselves. */
const presenters = ['http', 'dashboard']
const lazy = ['pg', 'pg-cursor', 'mysql2', 'keyv', '@keyv/redis', 'bullmq', '@opentelemetry/api']
const imports = readImports()
const room = (file: string) => /^src\/([^/.]+)\//.exec(file)?.[1]
const ours = imports.filter(({ to }) => to.startsWith('src/'))
const show = ({ from, to, kind }: Import) => `${from} -> ${to} (${kind})`

describe('the rooms of src/', () => {
  it('has imports to check', () => {
    expect(ours.length).toBeGreaterThan(5)
  })

  it('lets a feature import itself and shared/ only', () => {
    const broken = ours.filter(({ from, to }) => {
      const own = room(from)
      return own !== undefined && features.includes(own) && room(to) !== own && room(to) !== 'shared'
    })
    expect(broken.map(show)).toEqual([])
  })

  it('lets shared/ import shared/ only', () => {
    expect(ours.filter(({ from, to }) => room(from) === 'shared' && room(to) !== 'shared').map(show)).toEqual([])
  })

  it.each(presenters)('lets %s/ import features as types only', (presenter) => {
    const shown = presenter === 'http' ? [...features, 'dashboard'] : features
    const broken = ours.filter(({ from, to, kind }) => {
      const target = room(to)
      return (
        room(from) === presenter &&
        !(target === presenter || target === 'shared' || (kind === 'type' && shown.includes(target ?? '')))
      )
    })
    expect(broken.map(show)).toEqual([])
  })

  it('lets nobody but index.ts import a face', () => {
    expect(ours.filter(({ from, to }) => room(to) === undefined && from !== 'src/index.ts').map(show)).toEqual([])
  })

  it('has no cycle, types included', () => {
    const next = Map.groupBy(ours, ({ from }) => from)
    const done = new Set<string>()
    const cycles: string[] = []
    const walk = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
        return
      }
      if (done.has(file)) return
      for (const { to } of next.get(file) ?? []) walk(to, [...path, file])
      done.add(file)
    }
    for (const file of next.keys()) walk(file, [])
    expect(cycles).toEqual([])
  })
})

describe('packages', () => {
  it('imports optional peers while running, and never for their types', () => {
    const broken = imports.filter(
      ({ to, kind }) => lazy.some((name) => to === name || to.startsWith(`${name}/`)) && kind !== 'dynamic',
    )
    expect(broken.map(show)).toEqual([])
  })

  it.each(['src/cache.ts', 'src/monitor.ts', 'src/batch.ts', 'src/http.ts'])(
    'are loaded by %s without Kysely',
    (face) => {
      const next = Map.groupBy(
        imports.filter(({ kind }) => kind === 'static'),
        ({ from }) => from,
      )
      const reached = new Set([face])
      const broken: Import[] = []
      for (const file of reached) {
        for (const entry of next.get(file) ?? []) {
          if (/^kysely(\/|$)/.test(entry.to)) broken.push(entry)
          reached.add(entry.to)
        }
      }
      expect(reached.size).toBeGreaterThan(5)
      expect(broken.map(show)).toEqual([])
    },
  )

  it('names a framework in its own adapter only, and Express in none', () => {
    const broken = imports.filter(
      ({ from, to }) =>
        /^(express|fastify|hono)(\/|$)/.test(to) &&
        (to.startsWith('express') || !from.startsWith(`src/adapters/${to.split('/')[0]}/`)),
    )
    expect(broken.map(show)).toEqual([])
  })

  it('names every export of a face; index.ts is all of them together', () => {
    const stars = globSync('src/**/*.ts').filter((file) => /^export \*/m.test(readFileSync(file, 'utf8')))
    expect(stars).toEqual(['src/index.ts'])
  })
})
