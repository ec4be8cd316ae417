import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compress, decompress, resolveCodec } from '../../../src/cache/value/compression.ts'
import { inspectValue, UnstorableValueError } from '../../../src/cache/value/inspect-value.ts'
import { decodeValue, encodeValue } from '../../../src/cache/value/value-codec.ts'

const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.bigInt(),
    fc.boolean(),
    fc.constantFrom(null, undefined, -0, Number.NaN, Number.POSITIVE_INFINITY),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.uint8Array(),
    fc.float64Array(),
    fc.bigInt64Array(),
    fc.array(tie('value')),
    fc.dictionary(fc.constantFrom('a', '$', '__proto__', 'constructor', 'toString'), tie('value')),
    fc.array(fc.tuple(tie('value'), tie('value'))).map((pairs) => new Map(pairs)),
    fc.array(tie('value')).map((items) => new Set(items)),
  ),
})).value

/** Defines a property that is not enumerable, as drivers do. */
const hide = (value: object, name: string, hidden: unknown) => Object.defineProperty(value, name, { value: hidden })

const roundTrip = (input: unknown) => {
  const { format, bytes } = encodeValue(input, inspectValue(input, false))
  return decodeValue(format, bytes)
}

describe('the size of a value', () => {
  const sizeOf = (input: unknown) => inspectValue(input, false).bytes

  it('includes all the memory that a view keeps, once for all views of it', () => {
    const packet = new Uint8Array(1_000_000)
    const id = packet.subarray(0, 16)
    expect(sizeOf(id)).toBeGreaterThan(1_000_000)
    expect(sizeOf([id, { name: packet.subarray(16, 32) }])).toBeLessThan(1_001_000)
    expect(sizeOf([id, Uint8Array.from(packet)])).toBeGreaterThan(2_000_000)
    expect(sizeOf(Buffer.from('of the pool'))).toBeLessThan(1_000)
  })
})

describe('a value', () => {
  it('comes back as it was, whatever it is made of', () => {
    fc.assert(
      fc.property(value, (input) => {
        // Vitest's own comparison looks at `constructor`, which may be a key here.
        expect(isDeepStrictEqual(roundTrip(input), input)).toBe(true)
      }),
      { numRuns: Number(process.env.PROPERTY_RUNS ?? 500) },
    )
  })

  it('is of any type of array for numbers that this Node has', () => {
    const types = Object.getOwnPropertyNames(globalThis).filter((name) => /^(?:Ui|I|Big|F)\w+Array$/.test(name))
    expect(types.length).toBeGreaterThan(10)
    for (const name of types) {
      const type = globalThis[name as 'Float64Array']
      const input = { numbers: type.from(name.startsWith('Big') ? ([1n, 2n] as never) : [1, 2]) }
      expect(roundTrip(input), name).toStrictEqual(input)
    }
  })

  it.each(['\n', '"', '\0', '\ud800'])('has its name %j where `JSON.parse` takes it for a backslash', (name) => {
    const shape = `shape of ${JSON.stringify(name)}`
    roundTrip({ [shape]: 1, '\\': 2 })
    expect(roundTrip({ [shape]: 1, [name]: 3 })).toStrictEqual({ [shape]: 1, [name]: 3 })
    const bare = Object.assign(Object.create(null), { [name]: new Date(0), $: undefined })
    expect(roundTrip([bare])).toStrictEqual([bare])
  })

  it('of plain JSON is stored as JSON, and bytes as they are', () => {
    const rows = [{ id: 1, name: 'Ann', tags: ['a'], score: 1.5, gone: null }]
    expect(encodeValue(rows, inspectValue(rows, false))).toMatchObject({
      format: 'json',
      bytes: Buffer.from(JSON.stringify(rows)),
    })
    const bytes = randomBytes(1_000)
    expect(encodeValue(bytes, inspectValue(bytes, false))).toEqual({ format: 'bytes', bytes })
    const page = { body: bytes }
    expect(encodeValue(page, inspectValue(page, false)).bytes.length).toBeLessThan(1_100)
  })

  it.each([
    ['an instance of a class', new (class User {})()],
    ['a class within', [{ user: new (class User {})() }]],
    ['a subclass of Map', new (class Users extends Map {})()],
    ['a subclass of Array, as drivers return it', new (class Rows extends Array {})(1)],
    ['an array with properties', Object.assign([1, 2], { count: 2 })],
    ['the match of an expression', /a/.exec('a')],
    ['an array of another class within', { rows: [new (class Rows extends Array {})()] }],
    // biome-ignore lint/suspicious/noSparseArray: this is what is tested
    ['an array with holes', [1, , 3]],
    ['an array of holes', { list: new Array(3) }],
    ['a Map with properties', Object.assign(new Map(), { count: 2 })],
    ['a Date with properties', Object.assign(new Date(), { zone: 'UTC' })],
    ['an object with a symbol for a name', { rows: [{ id: 1, [Symbol('source')]: 'db' }] }],
    ['an array with hidden properties, as of the driver mariadb', hide([{ id: 1 }], 'meta', [])],
    ['an array with a symbol for a name', Object.assign([1, 2], { [Symbol('source')]: 'db' })],
    ['an array with as many properties as holes', Object.assign([1, 2, 3], { length: 4, count: 4 })],
    ['an object with hidden properties', { rows: [hide({ id: 1 }, 'meta', [])] }],
    ['an object that says how it becomes JSON', hide({ id: 1 }, 'toJSON', () => 2)],
    ['an array that says how it becomes JSON', hide([1], 'toJSON', () => 2)],
    ['a Date that says how it becomes JSON', { at: hide(new Date(), 'toJSON', () => 2) }],
    ['a Map with a symbol for a name', Object.assign(new Map(), { [Symbol('source')]: 'db' })],
    ['a Set with hidden properties', hide(new Set(), 'meta', [])],
    ['a Buffer with properties', { body: Object.assign(Buffer.from('abc'), { encoding: 'br' }) }],
    ['a Buffer with a symbol for a name', Object.assign(Buffer.from('abc'), { [Symbol('source')]: 'db' })],
    ['a Float64Array with properties', Object.assign(new Float64Array([Number.NaN, -0]), { unit: 'm' })],
    ['a function', { load() {} }],
    ['a symbol', Symbol('a')],
    ['an error', new Error('no')],
    ['a promise', Promise.resolve()],
  ])('cannot be stored if it is %s', (_what, input) => {
    expect(() => inspectValue(input, false)).toThrow(UnstorableValueError)
  })

  it('is frozen all or not at all', () => {
    const plain = () => ({ list: [1, { a: 1 }], map: new Map([['key', { b: [2] }]]), bytes: Buffer.from('a') })
    const stored = plain()
    inspectValue(stored, true)
    for (const part of [stored, stored.list, stored.list[1], stored.map.get('key'), stored.map.get('key')?.b]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
    const refused = { ...plain(), user: new (class User {})() }
    expect(() => inspectValue(refused, true)).toThrow(UnstorableValueError)
    for (const part of [refused, refused.list, refused.list[1], refused.map.get('key')]) {
      expect(Object.isFrozen(part)).toBe(false)
    }
  })

  it('cannot be stored if it contains itself, however often', () => {
    const loop: Record<string, unknown> = {}
    Object.assign(loop, { a: loop, b: loop, c: [loop] })
    expect(() => inspectValue(loop, false)).toThrow('contains itself')
  })

  it('that is damaged throws, and makes no value', () => {
    const input = { list: [1n, new Map([[1, Buffer.from('abc')]])] }
    const { format, bytes } = encodeValue(input, inspectValue(input, false))
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeValue(format, bytes.subarray(0, length))).toThrow()
    }
  })
})

describe('an entry of a few bytes', () => {
  const marked = (value: unknown, binaries: Buffer) => {
    const json = Buffer.from(JSON.stringify(value))
    const length = Buffer.alloc(4)
    length.writeUInt32BE(json.length)
    return Buffer.concat([length, json, binaries])
  }
  const part = (offset: number, length: number, type = 'Uint8Array') => ({ $: ['binary', type, offset, length] })

  it.each(['Uint8Array', 'Buffer', 'Float64Array'])('makes no more %ss than it holds bytes for them', (type) => {
    const binaries = Buffer.alloc(64)
    const apart = marked([part(0, 32, type), part(32, 32, type)], binaries)
    expect(decodeValue('marked', apart)).toHaveLength(2)
    for (const shared of [
      [part(0, 64, type), part(0, 64, type)],
      [part(0, 40, type), part(32, 32, type)],
      { $: ['map', [[part(0, 64, type), part(8, 8, type)]]] },
    ]) {
      expect(() => decodeValue('marked', marked(shared, binaries))).toThrow('shared')
    }
  })
})

describe('compression', () => {
  const rows = Buffer.from(JSON.stringify(Array.from({ length: 100 }, (_, id) => ({ id, name: `user ${id}` }))))

  it.each(['zstd', 'gzip', 'brotli'] as const)('by %s gives the bytes back', async (codec) => {
    if (codec === 'zstd' && typeof zlib.zstdCompressSync !== 'function') return
    for (const bytes of [rows, Buffer.concat(Array(50).fill(rows))]) {
      const packed = await compress(bytes, { minBytes: 0, codec, minGain: 0.1 })
      expect(packed.codec).toBe(codec)
      expect(packed.bytes.length).toBeLessThan(bytes.length / 2)
      expect(await decompress(packed.bytes, packed.codec, bytes.length, 1e8)).toEqual(bytes)
    }
  })

  it('leaves alone what is small and what does not shrink', async () => {
    const settings = { minBytes: 2_048, codec: 'gzip', minGain: 0.1 } as const
    expect((await compress(rows.subarray(0, 2_047), settings)).codec).toBe('none')
    expect((await compress(randomBytes(10_000), settings)).codec).toBe('none')
    expect((await compress(rows, false)).codec).toBe('none')
  })

  it('makes no more of an entry than it says it holds', async () => {
    const bomb = zlib.gzipSync(Buffer.alloc(50_000_000))
    await expect(decompress(bomb, 'gzip', 1_000, 1e8)).rejects.toThrow()
    await expect(decompress(bomb, 'gzip', 100_000, 1e8)).rejects.toThrow()
    await expect(decompress(bomb, 'gzip', 2 ** 40, 1e8)).rejects.toThrow('too large')
    await expect(decompress(bomb, 'lzma', 1_000, 1e8)).rejects.toThrow('unknown codec')
    await expect(decompress(zlib.gzipSync('abc'), 'gzip', 5, 1e8)).rejects.toThrow('truncated')
  })

  it('is zstd where Node has it', () => {
    expect(resolveCodec('auto')).toBe(typeof zlib.zstdCompressSync === 'function' ? 'zstd' : 'gzip')
  })
})
