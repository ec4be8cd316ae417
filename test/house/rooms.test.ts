import { globSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'

const files = globSync('src/**/*.ts')
const lines = new Map(files.map((file) => [file, readFileSync(file, 'utf8').split('\n').length - 1]))

describe('the rooms of src/', () => {
  it('hold at most 16 files each', () => {
    const folders = Map.groupBy(files, (file) => dirname(file))
    const crowded = [...folders].filter(([, own]) => own.length > 16).map(([folder, own]) => `${folder}: ${own.length}`)
    expect(crowded).toEqual([])
  })

  it('hold files of at most 350 lines, half of them below 120', () => {
    expect([...lines].filter(([, count]) => count > 350)).toEqual([])
    const sorted = [...lines.values()].sort((one, other) => one - other)
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(120)
  })
})
