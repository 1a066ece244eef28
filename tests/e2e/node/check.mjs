// The official openai client for Node, unchanged but for its base URL. Prints one JSON line for each check: its name, and
// what went wrong (null where nothing did). Usage: node check.mjs BASE_URL API_KEY
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "Tell me a story" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const MODELS = ["gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash"];

async function everyModel(ask) {
  for (const model of MODELS) await ask(model);
}

const CHECKS = {
  "a chat completion carries its cost": () =>
    everyModel(async (model) => {
      const reply = await client.chat.completions.create({ model, messages, max_tokens: 50 });
      assert.ok(reply.choices[0].message.content);
      assert.ok(Number(reply.usage.cost) > 0);
    }),
  "a stream says what the plain reply says": () =>
    everyModel(async (model) => {
      const plain = await client.chat.completions.create({ model, messages, max_tokens: 50 });
      const stream = await client.chat.completions.create({
        model, messages, max_tokens: 50, stream: true, stream_options: { include_usage: true },
      });
      let text = "", usage = null;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta?.content ?? "";
        usage = chunk.usage ?? usage;
      }
      assert.equal(text, plain.choices[0].message.content);
      assert.equal(usage.cost, plain.usage.cost);
    }),
  "a tool is called": () =>
    everyModel(async (model) => {
      const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
      const runner = client.chat.completions.stream({ model, messages, tools, tool_choice: "required", max_tokens: 100 });
      const final = await runner.finalChatCompletion();
      const [call] = final.choices[0].message.tool_calls;
      assert.equal(call.function.name, "get_weather");
      assert.ok("city" in JSON.parse(call.function.arguments));
    }),
  "a structured answer fits its schema": () =>
    everyModel(async (model) => {
      const response_format = { type: "json_schema", json_schema: { name: "place", schema: parameters, strict: true } };
      const reply = await client.chat.completions.parse({ model, messages, response_format, max_tokens: 100 });
      assert.ok("city" in JSON.parse(reply.choices[0].message.content));
    }),
  "a response carries its cost": () =>
    everyModel(async (model) => {
      const response = await client.responses.create({ model, input: "Tell me a story" });
      assert.ok(response.output_text);
      assert.equal(response.status, "completed");
      assert.ok(Number(response.usage.cost) > 0);
    }),
  "a stream of a response is put together": () =>
    everyModel(async (model) => {
      const stream = client.responses.stream({ model, input: "Tell me a story" });
      let text = "";
      for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta;
      const final = await stream.finalResponse();
      assert.ok(text);
      assert.equal(text, final.output[0].content[0].text);
      assert.ok(Number(final.usage.cost) > 0);
    }),
  "a tool of a response is called": () =>
    everyModel(async (model) => {
      const tools = [{ type: "function", name: "get_weather", parameters, strict: true }];
      const asked = { model, tools, input: [{ role: "user", content: "Weather in Bern?" }] };
      const first = await client.responses.create({ ...asked, tool_choice: "required" });
      const call = first.output.find((item) => item.type === "function_call");
      assert.ok("city" in JSON.parse(call.arguments));
      const told = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
      const second = await client.responses.create({ ...asked, input: [...asked.input, ...first.output, told] });
      assert.ok(second.output_text);
    }),
  "embeddings are vectors": async () => {
    const asked = { model: "text-embedding-3-small", input: ["hello", "there"], dimensions: 16 };
    const reply = await client.embeddings.create(asked);
    assert.deepEqual(reply.data.map((each) => each.embedding.length), [16, 16]);
    assert.ok(Number(reply.usage.cost) > 0);
  },
  "models are listed with their prices": async () => {
    const models = [];
    for await (const model of client.models.list()) models.push(model);
    assert.ok(models.some((model) => model.id === "gpt-4o" && Number(model.pricing.direct.input) === 2.5));
    assert.equal((await client.models.retrieve("gpt-4o")).id, "gpt-4o");
  },
  "errors are of the client's own kinds": async () => {
    const ask = (body, options) => client.chat.completions.create({ model: "gpt-4o", messages, ...body }, options);
    await assert.rejects(ask({ model: "gpt-nothing" }), OpenAI.NotFoundError);
    await assert.rejects(ask({ messages: "none" }), OpenAI.BadRequestError);
    await assert.rejects(client.responses.create({ model: "gpt-4o", input: "x", store: true }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "store");
      return true;
    });
    const stranger = new OpenAI({ baseURL, apiKey: "sk-tb-nobody", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  },
  "a call that takes too long ends by itself": async () => {
    const slow = [{ role: "user", content: "[sim latency_ms=1500]" }];
    const asked = client.chat.completions.create({ model: "gpt-4o", messages: slow }, { timeout: 200 });
    await assert.rejects(asked, OpenAI.APIConnectionTimeoutError);
  },
  "a stream can be left": async () => {
    const long = [{ role: "user", content: "[sim output_tokens=100 chunk_ms=10]" }];
    const stream = await client.chat.completions.create({ model: "gpt-4o", messages: long, stream: true, max_tokens: 100 });
    for await (const _ of stream) break;
    assert.ok(stream.controller.signal.aborted);
  },
};

for (const [name, check] of Object.entries(CHECKS)) {
  let fault = null;
  try {
    await check();
  } catch (error) {
    fault = error?.stack ?? String(error);
  }
  console.log(JSON.stringify({ name, fault }));
}
