import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { PeerMissingError } from '../../../src/shared/errors.ts'
import { loadPeer, requirePeer } from '../../../src/shared/platform/peers.ts'

const folder = mkdtempSync(join(tmpdir(), 'posthaste-peers-'))
const write = (name: string, text: string) => {
  mkdirSync(join(folder, 'node_modules', name), { recursive: true })
  writeFileSync(join(folder, 'node_modules', name, 'index.js'), text)
}
write('whole', 'exports.answer = 42')
write('broken', 'throw new Error("broken")')
write('incomplete', 'require("no-such-package")')
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => void vi.restoreAllMocks())

const what = 'A cache on Redis'
const install = 'npm i keyv@5 @keyv/redis@5'
const message = 'A cache on Redis needs a package that is not installed: npm i keyv@5 @keyv/redis@5'
const urlOf = (name: string) => pathToFileURL(join(folder, 'node_modules', name, 'index.js')).href

describe('a peer that is imported', () => {
  it('is returned', async () => {
    const { default: whole } = await loadPeer<{ default: { answer: number } }>(urlOf('whole'), what, install)
    expect(whole.answer).toBe(42)
  })

  it.each(['no-such-package', urlOf('incomplete')])('says what to install when it is missing: %s', async (name) => {
    const loading = loadPeer(name, what, install)
    await expect(loading).rejects.toBeInstanceOf(PeerMissingError)
    await expect(loading).rejects.toThrow(message)
  })

  it('lets its own error through', async () => {
    await expect(loadPeer(urlOf('broken'), what, install)).rejects.toThrow('broken')
  })
})

describe('a peer that is required', () => {
  it('is found from the program, and else from the working directory', () => {
    vi.spyOn(process, 'cwd').mockReturnValue(folder)
    expect(requirePeer<{ answer: number }>('whole', what, install).answer).toBe(42)
    vi.restoreAllMocks()
    const [, program] = process.argv
    process.argv[1] = join(folder, 'main.js')
    expect(requirePeer<{ answer: number }>('whole', what, install).answer).toBe(42)
    process.argv[1] = program as string
  })

  // What `process.argv[1]` is in a `Worker` with `eval`, with `node - <arguments>`, and in a single executable application.
  it.each(['[worker eval]', '-', '--verbose'])(
    'is found from the working directory if the program has no file: %s',
    (start) => {
      vi.spyOn(process, 'cwd').mockReturnValue(folder)
      const [, program] = process.argv
      process.argv[1] = start
      try {
        expect(requirePeer<{ answer: number }>('whole', what, install).answer).toBe(42)
        expect(() => requirePeer('no-such-package', what, install)).toThrow(message)
      } finally {
        process.argv[1] = program as string
      }
    },
  )

  it('says what to install when it, or one that it needs, is missing', () => {
    vi.spyOn(process, 'cwd').mockReturnValue(folder)
    for (const name of ['no-such-package', 'incomplete']) {
      expect(() => requirePeer(name, what, install)).toThrow(PeerMissingError)
      expect(() => requirePeer(name, what, install)).toThrow(message)
    }
  })

  it('lets its own error through', () => {
    vi.spyOn(process, 'cwd').mockReturnValue(folder)
    expect(() => requirePeer('broken', what, install)).toThrow('broken')
  })
})
