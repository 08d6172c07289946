/**
 * What a stream used, from what its events report.
 *
 * 1. Within a step a report takes the place of the one before, field by field: providers count on.
 * 2. A step, told from the next by Metadata `step`, counts on top of the steps before it. A report that `step` itself brings is
 *    of the step that it ends.
 *
 * @since 0.1.0
 */

type Count = number | undefined

type Counts = { readonly [field: string]: Count }

/** `StreamResult.Usage`, which is above this floor. */
interface Usage {
  readonly inputTokens: Counts
  readonly outputTokens: Counts
}

/** `StreamEvent.Metadata`, too. */
interface Metadata {
  readonly kind: string
  readonly usage?: Usage | undefined
}

/** @since 0.1.0 */
export class UsageTotal {
  private before: Usage | undefined
  private step: Usage | undefined

  take({ kind, usage }: Metadata): void {
    if (usage !== undefined) this.step = merge(this.step, usage)
    if (kind !== "step") return
    this.before = this.total
    this.step = undefined
  }

  /** `undefined` as long as nothing was reported. */
  get total(): Usage | undefined {
    return this.before === undefined || this.step === undefined
      ? (this.step ?? this.before)
      : sum(this.before, this.step)
  }
}

/** The later report, field by field. */
export const merge = (a: Usage | undefined, b: Usage): Usage => both(a, b, (a, b) => b ?? a)

/** Adds up; what one of them does not know is what the other knows. */
export const sum = (a: Usage | undefined, b: Usage): Usage =>
  both(a, b, (a, b) => (a === undefined || b === undefined ? (a ?? b) : a + b))

const both = (a: Usage | undefined, b: Usage, f: (a: Count, b: Count) => Count): Usage => ({
  inputTokens: fields(a?.inputTokens ?? {}, b.inputTokens, f),
  outputTokens: fields(a?.outputTokens ?? {}, b.outputTokens, f)
})

const fields = (a: Counts, b: Counts, f: (a: Count, b: Count) => Count): Counts => {
  const counts: { [field: string]: Count } = {}
  for (const field of Object.keys({ ...a, ...b })) {
    const count = f(a[field], b[field])
    if (count !== undefined) counts[field] = count
  }
  return counts
}
