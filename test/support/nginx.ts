/** A real nginx, which stands between a client and a backend. */
import { Effect, type Scope } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

const command = [process.env["NGINX"], "nginx", "/usr/sbin/nginx"].find(
  (command) => command !== undefined && spawnSync(command, ["-v"]).status === 0
)

/** Whether there is one. */
export const isMissing = command === undefined

if (isMissing) {
  console.warn("nginx is missing: the tests that need it are skipped. `apt-get install nginx-light` gives it.")
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    socket.once("connect", () => socket.destroy())
  })

/** Passes all requests on to `backend`, as Debian's nginx does without more settings than `location`; gives its address. */
export const proxy = (backend: string, location = ""): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const folder = mkdtempSync(join(tmpdir(), "effect-llm-streaming-nginx-"))
        const port = await freePort()
        const config = join(folder, "nginx.conf")
        const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
          .map((name) => `${name}_temp_path ${folder}/${name};`)
          .join(" ")
        writeFileSync(
          config,
          `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
          events { worker_connections 512; }
          http {
            access_log off; ${temporary}
            server { listen 127.0.0.1:${port}; location / { proxy_pass ${backend}; ${location} } }
          }`
        )
        const child = spawn(command!, ["-e", join(folder, "error.log"), "-c", config], { stdio: "ignore" })
        while (!(await answers(port))) await new Promise((resolve) => setTimeout(resolve, 20))
        return { child, folder, url: `http://127.0.0.1:${port}` }
      }),
      ({ child, folder }) =>
        Effect.promise(async () => {
          const closed = once(child, "close")
          child.kill("SIGTERM")
          await closed
          rmSync(folder, { recursive: true })
        })
    ),
    ({ url }) => url
  )
