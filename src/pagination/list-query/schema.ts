import type { Field, JsonSchema } from './field.ts'
import { escapePattern } from './patterns.ts'

/**
 * The rules as JSON Schema. Types are lists like `['integer', 'string']`, so that validators that coerce (Fastify's does)
 * keep the text `'1e3'` as it is; with `anyOf` they would turn it into a number.
 */
export function listQuerySchema(
  fields: ReadonlyMap<string, Field<unknown>>,
  { page, after, before, sort }: Readonly<Record<'page' | 'after' | 'before' | 'sort', string>>,
  unknown: 'ignore' | 'reject',
): JsonSchema {
  const properties = new Map([...fields].map(([name, field]) => [name, field.schema]))
  const sortSchema = properties.get(sort)
  // Some clients write a list as `sort[]=a`.
  if (sortSchema !== undefined && !properties.has(`${sort}[]`)) properties.set(`${sort}[]`, sortSchema)
  const names = [...properties.keys()]
  // Other spellings of declared names: `role[]` for `role`, `ids` and `ids[0]` for `ids[]`.
  const lists = [...fields.keys()].filter((name) => name.endsWith('[]')).map((name) => name.slice(0, -2))
  const stems = (names: Iterable<string>) => [...names].map(escapePattern).join('|')
  const bracketed = `^(?:${stems([...fields.keys(), ...lists])})\\[${lists.length > 0 ? `|^(?:${stems(lists)})$` : ''}`
  return {
    type: 'object',
    properties: Object.fromEntries(properties),
    propertyNames: { anyOf: [{ enum: names }, { not: { pattern: bracketed } }] },
    additionalProperties: unknown === 'ignore',
    not: {
      anyOf: [
        both(page, after),
        both(page, before),
        both(after, before),
        ...(sortSchema === undefined ? [] : [both(sort, `${sort}[]`)]),
      ],
    },
  }
}

/** Strict validators want required properties to be declared beside `required`. */
function both(one: string, other: string): JsonSchema {
  return { required: [one, other], properties: { [one]: {}, [other]: {} } }
}
