/** Effect's FileSystem on the real one, as far as these tests use it. */
import type { Layer } from "effect"
import { Effect, FileSystem, PlatformError } from "effect"
import { mkdtempSync, promises as fs, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const attempt = <A>(method: string, path: string, run: () => Promise<A>) =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      PlatformError.systemError({ module: "FileSystem", method, _tag: "NotFound", pathOrDescriptor: path, cause })
  })

export const layer: Layer.Layer<FileSystem.FileSystem> = FileSystem.layerNoop({
  open: (path, options) =>
    Effect.map(
      Effect.acquireRelease(
        attempt("open", path, () => fs.open(path, options?.flag ?? "r")),
        (handle) => Effect.promise(() => handle.close())
      ),
      // No more of a file is used.
      (handle) =>
        ({
          writeAll: (bytes: Uint8Array) => attempt("writeAll", path, () => handle.appendFile(bytes))
        }) as unknown as FileSystem.File
    ),
  readFileString: (path) => attempt("readFileString", path, () => fs.readFile(path, "utf8"))
})

/** A directory that is gone when the scope closes. */
export const temporary = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-llm-streaming-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  ),
  (path) => (name: string) => join(path, name)
)
