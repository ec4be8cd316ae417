import type { Field, JsonSchema } from './fields-kind.ts'
import { escapePattern } from './fields-pattern.ts'

/**
 * The rules as JSON Schema. Types are lists like `['integer', 'string']`, not alternatives, so that validators which coerce
 * (Fastify's does) leave `'1e3'` the string it is.
 */
export function listQuerySchema(fields: ReadonlyMap<string, Field<unknown>>, unknown: 'ignore' | 'reject'): JsonSchema {
  const names = [...fields.keys()]
  const bracketed = `^(?:${names.map(escapePattern).join('|')})\\[`
  return {
    type: 'object',
    properties: Object.fromEntries([...fields].map(([name, field]) => [name, field.schema])),
    propertyNames: { anyOf: [{ enum: names }, { not: { pattern: bracketed } }] },
    additionalProperties: unknown === 'ignore',
    not: { anyOf: [both('page', 'after'), both('page', 'before'), both('after', 'before')] },
  }
}

/** The properties are named again because strict validators look for them beside `required`. */
function both(one: string, other: string): JsonSchema {
  return { required: [one, other], properties: { [one]: {}, [other]: {} } }
}
