/**
 * Text as a model streams it, for the benches: tokens of about 4 characters, the same in every run.
 *
 * @since 0.1.0
 */
const words = (
  "the a of to and in is that for it as was with be by on not he his but at are this have from or had an they which " +
  "one you were all her she there would their we him been has when who will no more if out so said what its about " +
  "passage into than them can only other new some could time these two may then do first any my now such like our " +
  "secretary over man me even most made after also did many before must through back years where much your way well " +
  "apiary down should because each just those people how too little state good very make world still own see men work"
).split(" ")

/** `count` tokens; about one in 500 begins a filter pattern and one in 5,000 completes it. */
export const makeTokens = (count: number): ReadonlyArray<string> => {
  const tokens: Array<string> = []
  let seed = 42
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return seed % below
  }
  while (tokens.length < count) {
    if (random(5_000) === 0) tokens.push(" pass", "word")
    else tokens.push(` ${words[random(words.length)]}`)
  }
  return tokens.slice(0, count)
}

export const patterns: ReadonlyArray<string> = ["password", "api_key", "secret token"]

/** The same items in arrays of `size`. */
export const inArrays = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> => {
  const arrays: Array<ReadonlyArray<A>> = []
  for (let i = 0; i < items.length; i += size) arrays.push(items.slice(i, i + size))
  return arrays
}
