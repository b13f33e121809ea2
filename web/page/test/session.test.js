import assert from "node:assert/strict";
import test from "node:test";
import { newReply, takeChoice } from "../reply.js";
import {
  addResults, apiMessages, cutAfter, dropLastReply, MAX_PANES, newSession, newSettings, openCalls,
  requestBody, requestMembers, showPanes, titleOf, wakeUp,
} from "../session.js";

const user = (content) => ({ role: "user", content });

function reply(content, calls = []) {
  const r = newReply();
  takeChoice(r, { delta: { content }, finish_reason: "stop" });
  r.calls = calls;
  return r;
}

test("panes: added ones begin as the last, removed ones come back", () => {
  const s = newSession();
  s.panes[0].messages.push(user("a"), reply("b"), newReply());
  showPanes(s, 3);
  assert.equal(s.panes[2].messages[1].content, "b");
  assert.equal(s.panes[2].messages[2].finish, "stopped");
  assert.ok(s.panes[0].messages[2].isRunning);
  s.panes[2].messages.push(user("c"));
  assert.equal(s.panes[0].messages.length, 3);
  showPanes(s, 1);
  showPanes(s, 3);
  assert.equal(s.panes[2].messages.at(-1).content, "c");
  showPanes(s, 99);
  assert.deepEqual([s.nShown, s.panes.length], [MAX_PANES, MAX_PANES]);
  showPanes(s, 0);
  assert.equal(s.nShown, 1);
});

test("what is sent: the system message, and nothing that failed", () => {
  const failed = { ...reply(""), error: "gone" };
  const pane = { messages: [user("a"), failed, user("b"), { ...reply("c"), thoughts: "hm" }] };
  assert.deepEqual(apiMessages({ ...newSettings(), system: " Be brief. " }, pane), [
    { role: "system", content: "Be brief." }, user("a"), user("b"),
    { role: "assistant", content: "c", reasoning_content: "hm" },
  ]);
});

test("one pane is one conversation, several are several", () => {
  const a = { messages: [user("a")] }, b = { messages: [user("b")] };
  assert.deepEqual(requestBody(newSettings(), [a]).messages, [user("a")]);
  assert.deepEqual(requestBody(newSettings(), [a, b]).messages, [[user("a")], [user("b")]]);
});

test("settings: empty ones are the server's", () => {
  assert.deepEqual(requestMembers(newSettings()), {});
  const settings = { ...newSettings(), numbers: { temperature: "0", top_k: 5, seed: "" },
    thinking: "off", effort: "low", tools: "[]", more: '{"top_p": 0.5}' };
  assert.deepEqual(requestMembers(settings), { temperature: 0, top_k: 5, enable_thinking: false,
    reasoning_effort: "low", tools: [], top_p: 0.5 });
});

test("texts that are no JSON are named", () => {
  const wrong = (more) => () => requestMembers({ ...newSettings(), ...more });
  assert.throws(wrong({ tools: "{}" }), /^Error: Tools: an array/);
  assert.throws(wrong({ tools: "[" }), /^Error: Tools: this is no JSON/);
  assert.throws(wrong({ more: "[]" }), /^Error: More parameters: an object/);
});

test("calls and their results", () => {
  const pane = { messages: [user("a"), reply("", [{ id: "x", name: "add", arguments: "{}" }])] };
  assert.equal(openCalls(pane).length, 1);
  addResults(pane, ["3"]);
  assert.deepEqual(openCalls(pane), []);
  assert.deepEqual(apiMessages(newSettings(), pane).slice(1), [
    { role: "assistant", content: "", tool_calls: [
      { id: "x", type: "function", function: { name: "add", arguments: "{}" } }] },
    { role: "tool", tool_call_id: "x", content: "3" },
  ]);
});

test("edit and regenerate", () => {
  const pane = { messages: [user("a"), reply("b"), user("c"), reply("d")] };
  dropLastReply(pane);
  dropLastReply(pane);
  assert.equal(pane.messages.length, 3);
  cutAfter(pane, 1);
  assert.equal(pane.messages.length, 2);
  cutAfter(pane, 0, true);
  assert.deepEqual(pane.messages, []);
});

test("titles", () => {
  assert.equal(titleOf("  hello\nworld"), "hello");
  assert.equal(titleOf(" \n"), "New chat");
  assert.equal(titleOf("x".repeat(99)).length, 60);
});

test("what is loaded does not run", () => {
  const s = newSession();
  s.panes[0].messages.push(user("a"), newReply());
  const again = wakeUp(JSON.parse(JSON.stringify(s)));
  assert.deepEqual([again.panes[0].messages[1].isRunning, again.panes[0].messages[1].finish],
    [false, "stopped"]);
});
