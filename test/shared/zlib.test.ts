import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { hasZstd, type ZlibCodec, zlibMethods } from '../../src/shared/zlib.ts'

const codecs = (Object.keys(zlibMethods) as ZlibCodec[]).filter((codec) => codec !== 'zstd' || hasZstd())
const levels = [undefined, 1, 9]

describe.each(codecs)('%s', (codec) => {
  const methods = zlibMethods[codec]

  it.each(levels)('gives back what it compressed, at once, in the pool and as a stream, at level %s', async (level) => {
    for (const text of ['', 'a', '{"id":1},'.repeat(20_000)]) {
      const bytes = Buffer.from(text)
      const stream = methods.createCompressStream(level)
      stream.end(bytes)
      const packed = [methods.compressSync(bytes, level), await methods.compress(bytes, level), await buffer(stream)]
      for (const one of packed) {
        expect(methods.decompressSync(one, bytes.length + 1).equals(bytes)).toBe(true)
        expect((await methods.decompress(one, bytes.length + 1)).equals(bytes)).toBe(true)
      }
    }
  })

  it('refuses to give more than it may', async () => {
    const bomb = methods.compressSync(Buffer.alloc(1_000_000))
    expect(() => methods.decompressSync(bomb, 1_000)).toThrow(RangeError)
    await expect(methods.decompress(bomb, 1_000)).rejects.toThrow(RangeError)
  })

  it('sends on what was written, before the end', async () => {
    const stream = methods.createCompressStream()
    const first = new Promise<Buffer>((resolve) => stream.once('data', resolve))
    stream.write('soon')
    stream.flush(methods.flushOperation())
    expect((await first).length).toBeGreaterThan(0)
    stream.destroy()
  })
})
