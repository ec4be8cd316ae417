import fc from 'fast-check'

/** Any character of Unicode, unassigned ones included. What fast-check has for it takes seconds to set itself up. */
export const character: fc.Arbitrary<string> = fc
  .integer({ min: 0, max: 0x10_ffff - 0x800 })
  .map((at) => String.fromCodePoint(at < 0xd800 ? at : at + 0x800))
