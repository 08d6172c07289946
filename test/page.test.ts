/** The page of the example backend, in Chromium, as a person uses it. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import type { Page } from "playwright-core"
import * as Provider from "../scratchpad/demo/provider.ts"
import * as Chromium from "./support/chromium.ts"
import * as ExampleServer from "./support/exampleServer.ts"
import * as Loopback from "./support/loopback.ts"

/** So that a model that is to be stopped is never done before, however busy the machine. */
const slow = { PACE: "200" }

const desktop = { viewport: { width: 1280, height: 960 } }
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true })

/** Waits until the page's state is this. */
const state = (page: Page, text: string | RegExp) => page.getByRole("status").filter({ hasText: text }).waitFor()

/** All that the page shows from now on, the state in the first line: who only looks now and then misses some of it. */
const watch = async (page: Page): Promise<() => Promise<ReadonlyArray<string>>> => {
  const seen = await page.evaluateHandle(() => {
    const [state, answer] = [document.getElementById("state")!, document.getElementById("answer")!]
    const seen: Array<string> = []
    new MutationObserver(() => seen.push(`${state.innerText}\n${answer.innerText}`)).observe(answer, {
      characterData: true,
      childList: true,
      subtree: true
    })
    return seen
  })
  return () => seen.jsonValue()
}

const answerOf = (page: Page) => page.locator("#answer").innerText()

/** What is wider than the screen is none of the page's. */
const assertFits = async (page: Page) =>
  assert.isAtMost(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0)

const stopped = /The model was stopped: (\d+) of (\d+) chunks\./

describe.skipIf(Chromium.isMissing("the example backend's page"))(
  "the page",
  { concurrent: true, timeout: 90_000 },
  () => {
    layer(Chromium.layer, { excludeTestServices: true })((it) => {
      it.effect("an answer flows, reasoning is folded, and the secret is nowhere", () =>
        Effect.gen(function* () {
          const { url } = yield* ExampleServer.serve()
          const { complaints, hosts, page } = yield* Chromium.visit(url, desktop)
          yield* Effect.promise(async () => {
            await Chromium.picture(page, "idle")
            const meter = await page.locator(".meter").boundingBox()
            const seen = await watch(page)
            await button(page, "Ask").click()
            await button(page, "Stop").waitFor()
            await page.locator(".text mark").waitFor()
            await Chromium.picture(page, "text-flows")
            await state(page, "Done: stop")
            const written = (await seen()).filter((shown) => shown.startsWith("Writing"))
            assert.isAbove(written.length, 10)
            written.reduce((before, shown) => {
              assert.isAtLeast(shown.length, before.length)
              return shown
            })

            const text = await answerOf(page)
            assert.include(text, "a failure, not an answer.")
            assert.isFalse(await page.locator(".reasoning").getAttribute("open").then(Boolean))
            assert.strictEqual(await page.locator("mark").count(), 2)
            assert.notInclude(await page.content(), Provider.secret)
            assert.match((await page.locator("#tokens").textContent())!, /^\d{3}$/)
            // What grows has pushed nothing away.
            assert.deepStrictEqual(await page.locator(".meter").boundingBox(), meter)

            await page.getByText("Reasoning").click()
            assert.include(await page.locator(".reasoning p").innerText(), "My notes hold the key REDACTED;")
            await Chromium.picture(page, "text-done")
          })
          assert.deepStrictEqual([...hosts], [new URL(url).host])
          assert.deepStrictEqual(complaints, [])
        })
      )

      it.effect("Stop stops the model and keeps what had come; the keyboard does both", () =>
        Effect.gen(function* () {
          const { printed, url } = yield* ExampleServer.serve(slow)
          const { complaints, page } = yield* Chromium.visit(url, phone)
          yield* Effect.promise(async () => {
            await button(page, "Ask").tap()
            await page.locator(".text").waitFor()
            await button(page, "Stop").tap()
            await state(page, "Stopped, and the model too. What is here is not whole.")
            const [, sent, total] = await printed(stopped)
            assert.isBelow(Number(sent), Number(total))
            const kept = await answerOf(page)
            assert.include(kept, "You")
            await Chromium.picture(page, "stopped")

            await page.getByLabel("Your question").focus()
            await page.keyboard.press("Enter")
            await button(page, "Stop").waitFor()
            await page.keyboard.press("Escape")
            await state(page, "Stopped")
            await printed(new RegExp(`${stopped.source}[^]*${stopped.source}`))
            await assertFits(page)
          })
          assert.deepStrictEqual(complaints, [])
        })
      )

      it.effect("leaving stops the model, and the page works again", () =>
        Effect.gen(function* () {
          const { printed, url } = yield* ExampleServer.serve(slow)
          const { complaints, page } = yield* Chromium.visit(url, desktop)
          yield* Effect.promise(async () => {
            await button(page, "Text").click()
            await page.locator(".text").waitFor()
            await page.reload()
            await printed(stopped)
            assert.strictEqual(await answerOf(page), "")
            await button(page, "Text").click()
            await page.locator(".text").waitFor()
          })
          assert.deepStrictEqual(complaints, [])
        })
      )

      it.effect("an object fills in, field by field", () =>
        Effect.gen(function* () {
          const { url } = yield* ExampleServer.serve()
          const { complaints, page } = yield* Chromium.visit(url, phone)
          yield* Effect.promise(async () => {
            const seen = await watch(page)
            await button(page, "JSON").tap()
            const object = page.getByRole("region", { name: "Object" })
            await object.locator("dd dd", { hasText: "garlic" }).waitFor()
            await Chromium.picture(page, "object-fills-in")
            await state(page, "Done: stop")
            assert.isTrue((await seen()).some((shown) => /filling in[^]*serves\s+4(?![^]*steps)/.test(shown)))
            const text = await answerOf(page)
            assert.match(
              text,
              /^Here you are:\s+Object\s+whole\s+title\s+Dumplings with chives and “lucky” pork\s+level/
            )
            assert.match(text, /\s+Enjoy!$/)
            assert.notInclude(text, "```")
            assert.include((await object.locator("pre").textContent())!, '"grams": 80.5')
            await Chromium.picture(page, "object-done")
            await assertFits(page)
          })
          assert.deepStrictEqual(complaints, [])
        })
      )

      it.effect("a tool call fills in, is run, and the answer goes on", () =>
        Effect.gen(function* () {
          const { url } = yield* ExampleServer.serve()
          const { complaints, page } = yield* Chromium.visit(url, phone)
          yield* Effect.promise(async () => {
            const seen = await watch(page)
            await button(page, "Tool call").tap()
            const call = page.getByRole("region", { name: "get_forecast()" })
            await call.locator("li", { hasText: "Friday" }).waitFor()
            await Chromium.picture(page, "tool-fills-in")
            await call.locator("li", { hasText: "light rain" }).waitFor()
            await state(page, "Done: stop")
            assert.isTrue((await seen()).some((shown) => /filling in[^]*Friday(?![^]*units)/.test(shown)))
            assert.match(
              await answerOf(page),
              /get_forecast\(\)\s+whole[^]+Result\s+from the server[^]+Take an umbrella/
            )
            await Chromium.picture(page, "tool-done")
            await assertFits(page)
          })
          assert.deepStrictEqual(complaints, [])
        })
      )

      it.effect("says when an answer breaks off, and when the server cannot be reached", () =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const { url } = yield* Scope.provide(ExampleServer.serve(), scope)
          const { page } = yield* Chromium.visit(url, { ...desktop, colorScheme: "dark" })
          yield* Effect.promise(async () => {
            await button(page, "Failure").click()
            await state(page, "The answer broke off. What is here is not whole.")
            assert.include(await answerOf(page), "You are watching it.")
            await Chromium.picture(page, "failed")
            await button(page, "Text").click()
            await page.locator(".reasoning").waitFor()
          })
          yield* Scope.close(scope, Exit.void)
          yield* Effect.promise(async () => {
            await state(page, "The connection was lost. What is here is not whole.")
            await button(page, "Text").click()
            await state(page, "The server cannot be reached.")
          })
        })
      )

      it.effect("says when the model cannot answer", () =>
        Effect.gen(function* () {
          const model = yield* Loopback.serve((response) => {
            response.writeHead(401)
            response.end(JSON.stringify({ error: { message: "sk-very-secret is no key" } }))
          })
          const { url } = yield* ExampleServer.serve({ LLM_BASE_URL: model.url, LLM_MODEL: "m" })
          const { page } = yield* Chromium.visit(url, desktop)
          yield* Effect.promise(async () => {
            await button(page, "Text").click()
            await state(page, /^The model could not answer\.$/)
            assert.notInclude(await page.content(), "sk-very-secret")
          })
        })
      )

      it.effect("whatever a model says is text, and fits", () =>
        Effect.gen(function* () {
          const word = "x".repeat(600)
          const markup = `<img src=x onerror="document.title='broken'"></script>`
          const object = JSON.stringify({ [`<b>${word}`]: word, list: [{ [word]: [word] }], markup, __proto__x: 1 })
          const frame = (delta: object, finish_reason: string | null = null) =>
            `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`
          const model = yield* Loopback.serve((response) => {
            Loopback.begin(response)
            const texts = [markup, word, "\u2028\0data: x\n\n", object]
            response.write(texts.map((content) => frame({ content })).join(""))
            const name = `<i>${word}`
            response.write(frame({ tool_calls: [{ index: 0, id: "1", function: { name, arguments: object } }] }))
            response.end(frame({}, "stop"))
          })
          const { url } = yield* ExampleServer.serve({ LLM_BASE_URL: model.url, LLM_MODEL: "m" })
          const { complaints, page } = yield* Chromium.visit(url, phone)
          yield* Effect.promise(async () => {
            await button(page, "Text").tap()
            await state(page, "Done: stop")
            assert.include(await answerOf(page), markup)
            assert.strictEqual(await page.locator("#answer img, #answer b, #answer script").count(), 0)
            assert.strictEqual(await page.title(), "An answer, as it streams")
            await page.locator("details").evaluateAll((all) => all.forEach((fold) => fold.setAttribute("open", "")))
            await assertFits(page)
            await Chromium.picture(page, "long-words")
          })
          assert.deepStrictEqual(complaints, [])
        })
      )
    })
  }
)
