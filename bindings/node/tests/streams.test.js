// Against a real engine: the model is the file in PACELINE_TEST_MODEL.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Engine, version } from "../index.js";

const model = process.env.PACELINE_TEST_MODEL;
const open = (options = {}) =>
  Engine.open(model, { nStreams: 2, nThreads: 1, ctxTokens: 4096, ...options });

/** A prompt that pauses where nobody reads its reply, and does not end of itself. */
const endless = { regex: "[a-z]{4000}" };

/** One that runs. */
async function running(engine) {
  const stream = engine.trySubmit("the", endless);
  const pieces = stream[Symbol.asyncIterator]();
  await pieces.next();
  return stream;
}

test("a reply is the same alone and among others", async () => {
  const engine = await open();
  const ask = async (i) => (await engine.submit(`Rider ${i}`, { maxTokens: 12 })).text();
  const alone = [];
  for (let i = 0; i < 8; i++) alone.push(await ask(i));
  const together = await Promise.all(alone.map((_, i) => ask(i)));
  assert.deepEqual(together, alone);
  assert.ok(alone.every((text) => text.length));
  assert.match(version, /^\d+\.\d+\.\d+$/);
  engine.close();
});

test("a full queue is waited for in order", async () => {
  const engine = await open({ nStreams: 1, queueRequests: 1 });
  const first = await running(engine);
  const second = engine.trySubmit("the", endless);
  assert.throws(() => engine.trySubmit("the"), { code: "queue_full" });
  const order = [];
  const all = [0, 1, 2, 3, 4].map(async (i) => {
    const stream = await engine.submit("the", { maxTokens: 2 });
    order.push(i);
    await stream.text();
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(order, []);
  first.close();
  second.close();
  await Promise.all(all);
  assert.deepEqual(order, [0, 1, 2, 3, 4]);
  engine.close();
});

test("a stream says how it went", async () => {
  const engine = await open();
  const stream = await engine.submit("the", { maxTokens: 5 });
  const text = await stream.text();
  assert.equal(stream.finish, "length");
  assert.equal(stream.usage.nReply, 5);
  assert.equal(stream.tokens.length, 5);
  assert.equal(engine.detokenize(stream.tokens), text);
  const cut = await engine.submit("the", { maxTokens: 5, stop: [text[2]] });
  assert.equal(await cut.text(), text.slice(0, 2));
  assert.equal(cut.finish, "stop");
  engine.close();
});

test("streams end by cancelling, by leaving, with their engine", async () => {
  const engine = await open();
  const cancelled = await running(engine);
  cancelled.cancel();
  await cancelled.text();
  assert.equal(cancelled.finish, "cancelled");
  const left = await engine.submit("the", endless);
  for await (const piece of left) if (piece) break;
  assert.equal(left.finish, null);
  assert.equal(await left.text(), "");
  const last = await running(engine);
  engine.close();
  await last.text();
  assert.equal(last.finish, "cancelled");
  assert.throws(() => engine.tokenize("the"), { code: "closed" });
  engine.close();
});

test("requests say what they want, and what is wrong with them", async () => {
  const engine = await open();
  const regex = await engine.submit("the", { regex: "ab{3}", temperature: 0 });
  assert.equal(await regex.text(), "abbb");
  const schema = await engine.submit("the", { jsonSchema: { enum: ["yes"] }, temperature: 0 });
  assert.equal(await schema.text(), '"yes"');
  await assert.rejects(engine.submit("the", { regex: "(" }), { code: "invalid_grammar" });
  await assert.rejects(engine.submit("the", { temperature: "hot" }), TypeError);
  await assert.rejects(engine.submit("the", { maxTokens: -1 }), /maxTokens/);
  await assert.rejects(engine.submit("the", { stop: ["a\0"] }), /zero byte/);
  await assert.rejects(engine.submit("the", { regex: "a", gbnf: "b" }), /one grammar/);
  await assert.rejects(engine.submit(new Array(5000).fill(1)), { code: "context_length_exceeded" });
  assert.equal(await (await engine.submit("the", { maxTokens: 1 })).text().then(() => 1), 1);
  engine.close();
});

test("texts and numbers", async () => {
  const engine = await open();
  const chat = engine.chatPrompt([{ role: "user", content: "hi" }]);
  assert.match(engine.detokenize(chat), /user: hi/);
  assert.ok(engine.tokenize("the theme") instanceof Int32Array);
  assert.equal(engine.plan.nStreams, 2);
  assert.equal(engine.stats.nQueued, 0);
  await assert.rejects(Engine.open("/nowhere.gguf"), { code: "io_error", message: /nowhere/ });
  await assert.rejects(Engine.open(5), /modelPath/);
  engine.close();
});
