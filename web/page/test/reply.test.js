import assert from "node:assert/strict";
import test from "node:test";
import { argumentsText, breakOff, isEmpty, newReply, takeChoice } from "../reply.js";

test("text, thoughts and timings", () => {
  const reply = newReply();
  assert.ok(isEmpty(reply));
  takeChoice(reply, { delta: { role: "assistant", content: null }, finish_reason: null });
  takeChoice(reply, { delta: { reasoning_content: "hm" }, finish_reason: null });
  takeChoice(reply, { delta: { content: "a" }, finish_reason: null });
  takeChoice(reply, { delta: { content: "b" }, finish_reason: "stop" }, { predicted_n: 2 });
  assert.deepEqual([reply.thoughts, reply.content, reply.finish, reply.timings.predicted_n],
    ["hm", "ab", "stop", 2]);
  assert.ok(!reply.isRunning && !isEmpty(reply));
});

test("calls come in pieces", () => {
  const reply = newReply();
  const call = (delta) => takeChoice(reply, { delta: { tool_calls: [delta] } });
  call({ index: 0, id: "x", function: { name: "add", arguments: '{"a"' } });
  call({ index: 0, function: { arguments: ":1}" } });
  call({ index: 1, id: "y", function: { name: "sub", arguments: "{}" } });
  assert.deepEqual(reply.calls, [{ id: "x", name: "add", arguments: '{"a":1}' },
    { id: "y", name: "sub", arguments: "{}" }]);
  assert.equal(argumentsText(reply.calls[0].arguments), '{\n  "a": 1\n}');
  assert.equal(argumentsText('{"a"'), '{"a"');
});

test("one that is broken off ends once", () => {
  const reply = newReply();
  breakOff(reply);
  assert.deepEqual([reply.finish, reply.error, reply.isRunning], ["stopped", null, false]);
  breakOff(reply, "gone");
  assert.equal(reply.error, null);
  const other = newReply();
  breakOff(other, "gone");
  assert.deepEqual([other.finish, other.error], ["error", "gone"]);
});
