/**
 * The part of Standard Schema v1 that the cache uses. Schemas of Zod, Valibot and ArkType have it.
 *
 * @see https://standardschema.dev
 */
export interface StandardSchema {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult | Promise<SchemaResult>
  }
}

type SchemaResult = { readonly value: unknown; readonly issues?: undefined } | { readonly issues: readonly unknown[] }

/** Decides whether a value from the store has the shape that the code expects today. */
export type Validate = ((value: unknown) => boolean) | StandardSchema

/** Whether the value passes. The output of a schema is ignored, so that memory and store return the same value. */
export async function isValid(value: unknown, validate: Validate): Promise<boolean> {
  // Test for the property first: schemas of ArkType are functions.
  if ('~standard' in validate) return (await validate['~standard'].validate(value)).issues === undefined
  return validate(value) === true
}
