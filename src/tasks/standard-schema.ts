/**
 * Standard Schema, version 1 (standardschema.dev): the interface that zod, valibot, arktype and others share. Its types
 * alone, which the spec offers to be taken over: so no library is needed, and any will do.
 */

/** A schema of any library that follows the spec. */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** What the spec asks for. */
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a validation gives. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** What is wrong with a value, and where. */
export interface SchemaIssue {
  /** What is wrong. */
  readonly message: string;
  /** Where, from the outside in. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
