import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Prompt, Response, Tool } from "effect/ai"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import { fromStreamParts, type StreamPart } from "../../src/wire/EffectAiParts.ts"
import { toPrompt, toRequest } from "../../src/wire/EffectAiPrompt.ts"

/** What comes of events, whether they end or not. */
const resultOf = (events: ReadonlyArray<StreamEvent.StreamEvent>): StreamResult.StreamResult =>
  Effect.runSync(StreamHandler.runExit()(Stream.fromIterable([StreamEvent.start(0), ...events]))).result

/** Messages without what is the same in each. */
const messages = (prompt: Prompt.Prompt) => Schema.encodeSync(Prompt.Prompt)(prompt).content

const call = (id: string) =>
  StreamEvent.toolCall(0, { id, name: "search", argumentsText: `{"q":"${id}"}`, input: { q: id } })
const answer = (id: string, isError = false) => StreamEvent.toolResult(0, { id, name: "search", output: [id], isError })

describe("the next turn", () => {
  it("has reasoning, text and answered calls, the answers in a message of their own", () => {
    const result = resultOf([
      StreamEvent.reasoning(0, "hm"),
      StreamEvent.delta(0, "Hello"),
      call("a"),
      answer("a"),
      call("b"),
      answer("b", true),
      StreamEvent.end(0, "tool-calls")
    ])
    assert.deepStrictEqual(messages(toPrompt(result)), [
      {
        role: "assistant",
        options: {},
        content: [
          { type: "reasoning", text: "hm", options: {} },
          { type: "text", text: "Hello", options: {} },
          { type: "tool-call", id: "a", name: "search", params: { q: "a" }, providerExecuted: false, options: {} },
          { type: "tool-call", id: "b", name: "search", params: { q: "b" }, providerExecuted: false, options: {} }
        ]
      },
      {
        role: "tool",
        options: {},
        content: [
          {
            type: "tool-result",
            id: "a",
            name: "search",
            isFailure: false,
            result: ["a"],
            providerExecuted: false,
            options: {}
          },
          {
            type: "tool-result",
            id: "b",
            name: "search",
            isFailure: true,
            result: ["b"],
            providerExecuted: false,
            options: {}
          }
        ]
      }
    ])
  })

  it("has no call without its answer, of an interrupted result either", () => {
    const whole = resultOf([StreamEvent.delta(0, "Hello"), call("a"), call("b"), answer("b"), StreamEvent.end(0)])
    const cut = resultOf([StreamEvent.delta(0, "Hel"), StreamEvent.toolCallDelta(0, "a", "search", '{"q"'), call("b")])
    const calls = (prompt: Prompt.Prompt) =>
      prompt.content.flatMap((message) =>
        message.role === "assistant" ? message.content.filter((part) => part.type === "tool-call") : []
      )
    assert.deepStrictEqual(
      calls(toPrompt(whole)).map(({ id }) => id),
      ["b"]
    )
    assert.deepStrictEqual(messages(toPrompt(cut)), [{ role: "assistant", options: {}, content: "Hel" }])
    assert.deepStrictEqual(messages(toPrompt(resultOf([call("a")]))), [])
  })

  it("has calls with the answers that are given", () => {
    const result = resultOf([call("a"), call("b"), answer("b"), StreamEvent.end(0, "tool-calls")])
    const given = [
      { id: "a", name: "search", output: "mine", isError: false },
      { id: "b", name: "search", output: "newer", isError: false },
      { id: "of another turn", name: "search", output: "x", isError: false }
    ]
    const [assistant, tool] = toPrompt(result, { toolResults: given }).content
    assert.deepStrictEqual(
      assistant?.role === "assistant" && assistant.content.map((part) => part.type === "tool-call" && part.id),
      ["a", "b"]
    )
    assert.deepStrictEqual(
      tool?.role === "tool" && tool.content.map((part) => part.type === "tool-result" && [part.id, part.result]),
      [
        ["a", "mine"],
        ["b", "newer"]
      ]
    )
  })

  it("has a refusal as text, files, and hosted calls with their answers in the assistant's message", () => {
    const hosted = (id: string) =>
      StreamEvent.metadata(0, "hosted-tool-call", { metadata: { id, name: "web", input: { q: 1 } } })
    const result = resultOf([
      StreamEvent.refusal(0, "no"),
      StreamEvent.metadata(0, "file", { metadata: { mediaType: "image/png", data: "AP8H" } }),
      StreamEvent.metadata(0, "file", { metadata: { mediaType: "image/png", data: "not base64!" } }),
      StreamEvent.metadata(0, "file", { metadata: { inlineData: { mimeType: "image/png", data: "AP8H" } } }),
      StreamEvent.metadata(0, "file", { metadata: { type: "image", mime_type: "image/png", data: "AP8H" } }),
      StreamEvent.metadata(0, "file", { metadata: { image: { image_url: { url: "https://x.org" } } } }),
      hosted("a"),
      StreamEvent.toolResult(0, { id: "a", name: "web", output: [], isError: false }),
      hosted("unanswered"),
      StreamEvent.end(0, "stop")
    ])
    const [assistant, ...others] = toPrompt(result).content
    assert.deepStrictEqual(others, [])
    assert.deepStrictEqual(
      assistant?.role === "assistant" &&
        assistant.content.map((part) => [part.type, "providerExecuted" in part && part.providerExecuted]),
      [
        ["text", false],
        ["file", false],
        ["file", false],
        ["file", false],
        ["tool-call", true],
        ["tool-result", true]
      ]
    )
    assert.deepInclude(assistant?.role === "assistant" && assistant.content[1], {
      data: "AP8H",
      mediaType: "image/png"
    })
  })

  it("of nothing is empty", () => {
    assert.strictEqual(toPrompt(resultOf([])), Prompt.empty)
  })

  describe("reasoning", () => {
    const optionsOf = (result: StreamResult.StreamResult) => {
      const [message] = toPrompt(result).content
      const [part] = message?.role === "assistant" ? message.content : []
      return part?.type === "reasoning" ? part.options : undefined
    }
    const signature = (signature: string) => StreamEvent.metadata(0, "signature", { metadata: { signature } })

    it("has its signature, of this library's decoders", () => {
      const result = resultOf([StreamEvent.reasoning(0, "hm"), signature("s"), StreamEvent.end(0, "stop")])
      assert.deepStrictEqual(optionsOf(result), { "effect-llm-streaming": { signature: { signature: "s" } } })
    })

    it("has what the parts of effect/ai had", () => {
      const parts: ReadonlyArray<StreamPart> = [
        Response.makePart("reasoning-start", { id: "a", metadata: { anthropic: { info: 1 }, other: null } }),
        Response.makePart("reasoning-delta", { id: "a", delta: "hm" }),
        Response.makePart("reasoning-delta", { id: "a", delta: "", metadata: { anthropic: { signature: "s" } } }),
        Response.makePart("reasoning-end", { id: "a", metadata: { google: { x: 1 } } })
      ]
      const { result } = Effect.runSync(StreamHandler.runExit()(fromStreamParts(Stream.fromIterable(parts))))
      assert.deepStrictEqual(optionsOf(result), {
        anthropic: { info: 1, signature: "s" },
        other: {},
        google: { x: 1 }
      })
    })

    it("of whole blocks is what the provider signed, and behind it what it did not come to sign", () => {
      const block = (index: number) => ({ type: "thinking", thinking: `block ${index}`, signature: `s${index}` })
      const redacted = { type: "redacted_thinking", data: "xyz" }
      const of = (block: Readonly<Record<string, string>>) =>
        StreamEvent.metadata(0, "signature", { metadata: { part: "0", block } })
      const [message] = toPrompt(
        resultOf([
          StreamEvent.reasoning(0, "block 1", "0"),
          of(block(1)),
          of(redacted),
          StreamEvent.reasoning(0, "block 2", "2"),
          of(block(2)),
          StreamEvent.reasoning(0, "and then", "3")
        ])
      ).content
      const own = (block: Readonly<Record<string, string>>) => ({ signature: { part: "0", block } })
      const info = (index: number) => ({ info: { type: "thinking", signature: `s${index}` } })
      assert.deepStrictEqual(
        message?.role === "assistant" &&
          message.content.map((part) => [part.type, part.type === "reasoning" && part.text, part.options]),
        [
          ["reasoning", "block 1", { anthropic: info(1), "effect-llm-streaming": own(block(1)) }],
          [
            "reasoning",
            "",
            {
              anthropic: { info: { type: "redacted_thinking", redactedData: "xyz" } },
              "effect-llm-streaming": own(redacted)
            }
          ],
          ["reasoning", "block 2", { anthropic: info(2), "effect-llm-streaming": own(block(2)) }],
          ["reasoning", "and then", {}]
        ]
      )
    })

    it("of items of OpenAI's Responses has their identifier and what is encrypted", () => {
      const item = {
        type: "reasoning",
        id: "rs_1",
        summary: [
          { type: "summary_text", text: "a" },
          { type: "summary_text", text: "b" }
        ],
        encrypted_content: "xyz"
      }
      const result = resultOf([
        StreamEvent.reasoning(0, "a", "0.s0"),
        StreamEvent.reasoning(0, "b", "0.s1"),
        StreamEvent.metadata(0, "signature", { metadata: { part: "0", signature: "xyz", item } }),
        StreamEvent.end(0, "stop")
      ])
      assert.deepInclude(optionsOf(result), { openai: { itemId: "rs_1", encryptedContent: "xyz" } })
      const [message] = toPrompt(result).content
      assert.strictEqual(message?.role === "assistant" && message.content.length, 1)
    })

    it("a signature of a call is the call's", () => {
      const signature = { id: "a", thought: false, signature: "s" }
      const [message] = toPrompt(
        resultOf([
          StreamEvent.reasoning(0, "hm"),
          call("a"),
          StreamEvent.metadata(0, "signature", { metadata: signature }),
          answer("a"),
          StreamEvent.end(0, "tool-calls")
        ])
      ).content
      assert.deepStrictEqual(message?.role === "assistant" && message.content.map((part) => part.options), [
        {},
        { "effect-llm-streaming": { signature } }
      ])
    })

    it("of several blocks has none: it would not fit", () => {
      const result = resultOf([
        StreamEvent.reasoning(0, "a"),
        signature("s"),
        StreamEvent.reasoning(0, "b"),
        signature("t"),
        StreamEvent.end(0, "stop")
      ])
      assert.deepStrictEqual(optionsOf(result), {})
    })
  })
})

describe("requests", () => {
  const plain = { tools: [], toolChoice: "auto", responseFormat: { type: "text" } } as const

  it("messages of every role, as chat completions have them", () => {
    const prompt = Prompt.make([
      { role: "system", content: "be brief" },
      { role: "user", content: "hi" },
      {
        role: "user",
        content: [
          { type: "text", text: "look" },
          { type: "file", mediaType: "image/png", data: new Uint8Array([0, 255, 7]) },
          { type: "file", mediaType: "image/png", data: new URL("https://x.org/a.png") },
          { type: "file", mediaType: "image/png", data: "AP8H" },
          { type: "file", mediaType: "image/png", data: "data:image/png;base64,AP8H" },
          { type: "file", mediaType: "application/pdf", fileName: "a.pdf", data: new Uint8Array([0, 255, 7]) }
        ]
      },
      {
        role: "assistant",
        content: [
          { type: "reasoning", text: "hm" },
          { type: "text", text: "Let me " },
          { type: "text", text: "see." },
          { type: "tool-call", id: "a", name: "search", params: { q: 1 } },
          { type: "tool-call", id: "b", name: "web", params: {}, providerExecuted: true },
          { type: "tool-result", id: "b", name: "web", result: [], isFailure: false, providerExecuted: true }
        ]
      },
      {
        role: "tool",
        content: [
          { type: "tool-result", id: "a", name: "search", result: { found: 1 }, isFailure: false },
          { type: "tool-result", id: "c", name: "search", result: "text", isFailure: false },
          {
            type: "tool-result",
            id: "d",
            name: "search",
            result: {},
            modelOutput: [{ type: "text", text: "shown" }],
            isFailure: false
          },
          { type: "tool-approval-response", approvalId: "x", approved: true }
        ]
      },
      { role: "assistant", content: [{ type: "reasoning", text: "hm" }] }
    ])
    const png = "data:image/png;base64,AP8H"
    assert.deepStrictEqual(toRequest({ ...plain, prompt }), {
      messages: [
        { role: "system", content: "be brief" },
        { role: "user", content: "hi" },
        {
          role: "user",
          content: [
            { type: "text", text: "look" },
            { type: "image_url", image_url: { url: png } },
            { type: "image_url", image_url: { url: "https://x.org/a.png" } },
            { type: "image_url", image_url: { url: png } },
            { type: "image_url", image_url: { url: png } },
            { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AP8H" } }
          ]
        },
        {
          role: "assistant",
          content: "Let me see.",
          tool_calls: [{ id: "a", type: "function", function: { name: "search", arguments: '{"q":1}' } }]
        },
        { role: "tool", tool_call_id: "a", content: '{"found":1}' },
        { role: "tool", tool_call_id: "c", content: "text" },
        { role: "tool", tool_call_id: "d", content: "shown" }
      ],
      options: {}
    })
  })

  it("tools, the choice among them, and the schema of an answer", () => {
    const search = Tool.make("search", { description: "Finds.", parameters: Schema.Struct({ q: Schema.String }) })
    const prompt = Prompt.make("hi")
    const tool = {
      type: "function",
      function: {
        name: "search",
        description: "Finds.",
        parameters: {
          type: "object",
          properties: { q: { type: "string" } },
          required: ["q"],
          additionalProperties: true
        }
      }
    }
    const choices = [
      ["required", "required"],
      ["none", "none"],
      [{ tool: "search" }, { type: "function", function: { name: "search" } }],
      [{ oneOf: ["search"] }, "auto"],
      [{ mode: "required", oneOf: ["search"] }, "required"]
    ] as const
    for (const [toolChoice, tool_choice] of choices) {
      assert.deepStrictEqual(toRequest({ ...plain, prompt, tools: [search], toolChoice }).options, {
        tools: [tool],
        tool_choice
      })
    }
    const responseFormat = { type: "json", objectName: "answer", schema: Schema.Struct({ n: Schema.Number }) } as const
    assert.deepStrictEqual(toRequest({ ...plain, prompt, responseFormat }).options, {
      response_format: {
        type: "json_schema",
        json_schema: { name: "answer", schema: Tool.getJsonSchemaFromSchema(responseFormat.schema) }
      }
    })
  })
})
