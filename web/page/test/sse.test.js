import assert from "node:assert/strict";
import test from "node:test";
import { eventReader } from "../sse.js";

function read(...pieces) {
  const found = [];
  const push = eventReader((data) => found.push(data));
  for (const piece of pieces) push(piece);
  return found;
}

test("events end with an empty line", () => {
  assert.deepEqual(read("data: a\n\ndata: b\n\n"), ["a", "b"]);
  assert.deepEqual(read("data: a\n\ndata: b\n"), ["a"]);
});

test("cut anywhere, they are the same", () => {
  const text = 'data: {"a":1}\n\n: ping\n\ndata:[DONE]\r\n\r\n';
  for (let i = 0; i <= text.length; i++)
    assert.deepEqual(read(text.slice(0, i), text.slice(i)), ['{"a":1}', "[DONE]"], `cut at ${i}`);
});

test("comments and other fields say nothing, lines of data are joined", () => {
  assert.deepEqual(read(": ping\n\nevent: x\nid: 1\n\n"), []);
  assert.deepEqual(read("event: x\ndata: a\ndata: b\n\n"), ["a\nb"]);
});
