/**
 * A model that may use a tool: as long as it calls one, the tool is run and the model asked again. To a reader all of that is
 * one stream: one `Start`, one `End`, the calls and their results in between.
 */
import { Clock, Effect, Schema, Stream } from "effect"
import { type StreamError, StreamEvent, StreamModel } from "../../src/index.ts"

// -----------------------------------------------------------------------------
// the tool
// -----------------------------------------------------------------------------

const Input = Schema.Struct({
  place: Schema.String,
  days: Schema.Array(Schema.Literals(["Friday", "Saturday", "Sunday"])),
  units: Schema.Literals(["metric", "imperial"])
})

const definition = {
  type: "function",
  function: {
    name: "get_forecast",
    description: "The weather of the next weekend.",
    parameters: Schema.toJsonSchemaDocument(Input).schema
  }
}

/** Made up, and slow as a real one would be. */
const forecast = Effect.fnUntraced(function* (input: unknown) {
  const { days, units } = yield* Schema.decodeUnknownEffect(Input)(input)
  yield* Effect.sleep("700 millis")
  const sky = { Friday: "light rain", Saturday: "clearing up", Sunday: "clear" }
  const celsius = { Friday: 9, Saturday: 12, Sunday: 15 }
  return days.map((day) => ({
    day,
    sky: sky[day],
    high: units === "metric" ? `${celsius[day]} °C` : `${Math.round(celsius[day] * 1.8 + 32)} °F`
  }))
})

const run = Effect.fnUntraced(function* ({ id, input, name }: ToolCall) {
  const { output, isError } = yield* Effect.match(forecast(input), {
    onSuccess: (output) => ({ output, isError: false }),
    onFailure: ({ message }) => ({ output: message, isError: true })
  })
  return StreamEvent.toolResult(yield* Clock.currentTimeMillis, { id, name, output, isError })
})

type ToolCall = StreamEvent.EventOf<"ToolCall">
type ToolResult = StreamEvent.EventOf<"ToolResult">

// -----------------------------------------------------------------------------
// the loop
// -----------------------------------------------------------------------------

/** How often the model may be asked for one answer; the last time it is offered no tool, and what it calls is not run. */
const maxSteps = 4

export const stream = (request: StreamModel.StreamRequest): Events => step(request, StreamModel.messages(request), 1)

type Events = Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError, StreamModel.StreamModel>

const step = (
  request: StreamModel.StreamRequest,
  messages: ReadonlyArray<StreamModel.Message>,
  count: number
): Events =>
  Stream.suspend(() => {
    const calls: Array<ToolCall> = []
    const tools = count < maxSteps ? { tools: [definition] } : {}
    const events = StreamModel.stream({ messages, options: { ...request.options, ...tools } }).pipe(
      Stream.filter((event) => {
        if (event._tag === "ToolCall" && count < maxSteps) calls.push(event)
        return event._tag === "Start" ? count === 1 : event._tag !== "End" || calls.length === 0
      })
    )
    const next = Effect.map(
      Effect.suspend(() => Effect.forEach(calls, run, { concurrency: "unbounded" })),
      (results) =>
        results.length === 0
          ? Stream.empty
          : Stream.concat(
              Stream.fromIterable([...results, StreamEvent.metadata(results[0]!.timestamp, "step")]),
              step(request, [...messages, ...said(calls), ...results.map(answered)], count + 1)
            )
    )
    return Stream.concat(events, Stream.unwrap(next))
  })

/** The model's own message, as it wants to be reminded of it. */
const said = (calls: ReadonlyArray<ToolCall>): ReadonlyArray<StreamModel.Message> => [
  {
    role: "assistant",
    content: null,
    tool_calls: calls.map(({ argumentsText, id, name }) => ({
      id,
      type: "function",
      function: { name, arguments: argumentsText }
    }))
  }
]

const answered = ({ id, output }: ToolResult): StreamModel.Message => ({
  role: "tool",
  tool_call_id: id,
  content: JSON.stringify(output)
})
