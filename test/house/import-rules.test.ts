import { globSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type Import, readImports } from '../support/imports.ts'

const features = ['pagination', 'cache', 'monitor', 'dashboard', 'batch', 'database']
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

  it('lets http/ import features as types only', () => {
    const broken = ours.filter(({ from, to, kind }) => {
      const target = room(to)
      return (
        room(from) === 'http' &&
        !(target === 'http' || target === 'shared' || (kind === 'type' && features.includes(target ?? '')))
      )
    })
    expect(broken.map(show)).toEqual([])
  })

  it('lets nobody import a face', () => {
    expect(ours.filter(({ to }) => room(to) === undefined).map(show)).toEqual([])
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

  it('names a framework in its own face only, and Express in none', () => {
    const broken = imports.filter(
      ({ from, to }) =>
        /^(express|fastify|hono)(\/|$)/.test(to) && (to.startsWith('express') || from !== `src/${to.split('/')[0]}.ts`),
    )
    expect(broken.map(show)).toEqual([])
  })

  it('names every export of a face', () => {
    const stars = globSync('src/**/*.ts').filter((file) => /^export \*/m.test(readFileSync(file, 'utf8')))
    expect(stars).toEqual([])
  })
})
