/** Memory, for tests of what is held. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

/** Mebibytes in use, garbage taken away. */
export const heapUsed = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed / 2 ** 20
}
