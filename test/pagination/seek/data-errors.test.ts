import { describe, expect, it } from 'vitest'
import { namesCursor } from '../../../src/pagination/seek/data-errors.ts'

describe('namesCursor', () => {
  it.each([
    'invalid input syntax for type timestamp: "5"',
    'ungültige Eingabesyntax für Typ timestamp: »5«',
    'syntaxe en entrée invalide pour le type timestamp : «\u00a05\u00a0»',
    '"timestamp"型の入力構文が不正です: "5"',
    'value 5 is not: "5"',
  ])('finds the text of a key in the quotes of the server’s language: %s', (message) => {
    expect(namesCursor({ message }, ['1114:5', '23:1'])).toBe(true)
    expect(namesCursor({ message }, ['1114:6', '23:1'])).toBe(false)
  })

  it('takes a number in a message for no quotation', () => {
    expect(namesCursor({ message: 'value "15" at position 5 of "5a"' }, ['23:5'])).toBe(false)
  })
})
