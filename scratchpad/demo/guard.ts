/**
 * `--guard`: what is redacted by its shape, and not only because it is known.
 */
import { ContentFilter, type StreamResult } from "../../src/index.ts"

const shapes = Object.values(ContentFilter.rules)

export const rules = (secrets: ReadonlyArray<string>): ReadonlyArray<ContentFilter.Rule> => [
  { name: "secret", literals: secrets },
  ...shapes
]

/** How often each rule matched, as the content filter has reported it. */
export const counts = ({
  metadata
}: StreamResult.StreamResult): ReadonlyArray<readonly [rule: string, count: number]> =>
  metadata
    .filter(({ kind }) => kind === "content-filter")
    .flatMap((report) => Object.entries(report.metadata["hits"] as Readonly<Record<string, number>>))
