/**
 * Reading JSON of unknown shape: each function gives the value where it has the type, else `undefined`.
 *
 * @since 0.1.0
 */

export type UnknownRecord = Readonly<Record<string, unknown>>

export const record = (u: unknown): UnknownRecord | undefined =>
  typeof u === "object" && u !== null && !Array.isArray(u) ? (u as UnknownRecord) : undefined

export const array = (u: unknown): ReadonlyArray<unknown> | undefined => (Array.isArray(u) ? u : undefined)

export const string = (u: unknown): string | undefined => (typeof u === "string" ? u : undefined)

/** A string that says something: `""` is `undefined`, as providers send it for what they leave out. */
export const nonEmpty = (u: unknown): string | undefined => (typeof u === "string" && u !== "" ? u : undefined)

export const number = (u: unknown): number | undefined => (typeof u === "number" ? u : undefined)

/** A string as it is, any other value as the JSON text of it; `undefined` for null and what is missing. */
export const jsonText = (u: unknown): string | undefined =>
  typeof u === "string" ? u : u === undefined || u === null ? undefined : JSON.stringify(u)

/** What a JSON text says; a text that is no JSON is itself. */
export const jsonOrText = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
