// A session: up to twenty panes with a conversation each, and the settings that all of them share.
// Pure data, as it is kept in the browser.
import { breakOff } from "./reply.js";

export const MAX_PANES = 20;

// Members of a request that are numbers, with their bounds. Empty: the server's own.
export const NUMBERS = [
  { name: "temperature", label: "Temperature", min: 0, step: 0.05 },
  { name: "top_p", label: "Top p", min: 0, max: 1, step: 0.01 },
  { name: "top_k", label: "Top k", min: 0, step: 1 },
  { name: "min_p", label: "Min p", min: 0, max: 1, step: 0.01 },
  { name: "repeat_penalty", label: "Repeat penalty", min: 0, step: 0.05 },
  { name: "presence_penalty", label: "Presence penalty", min: -2, max: 2, step: 0.05 },
  { name: "frequency_penalty", label: "Frequency penalty", min: -2, max: 2, step: 0.05 },
  { name: "max_tokens", label: "Reply tokens at most", min: 1, step: 1 },
  { name: "seed", label: "Seed", min: 0, step: 1 },
];

export function newSettings() {
  return { system: "", numbers: {}, thinking: "", effort: "", tools: "", more: "" };
}

// randomUUID is there in secure contexts alone, and pages of plain HTTP are none.
function newId() {
  return globalThis.crypto?.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
}

export function newSession(settings = newSettings()) {
  return { id: newId(), title: "New chat",
    updated: Date.now(), nShown: 1, settings: structuredClone(settings),
    panes: [{ messages: [] }] };
}

export function titleOf(text) {
  const line = text.trim().split("\n")[0].trim();
  return line.length > 60 ? line.slice(0, 59) + "…" : line || "New chat";
}

// A pane that is added begins as a copy of the last one that is shown; one that is taken away is
// kept, and comes back as it was.
export function showPanes(session, n) {
  const wanted = Math.min(MAX_PANES, Math.max(1, n));
  const last = session.panes[session.nShown - 1];
  while (session.panes.length < wanted) {
    const messages = structuredClone(last.messages);
    for (const m of messages) if (m.role === "assistant") breakOff(m);
    session.panes.push({ messages });
  }
  session.nShown = wanted;
}

// What comes after message i goes, and so does i itself where `isGone`.
export function cutAfter(pane, i, isGone = false) {
  pane.messages.length = isGone ? i : i + 1;
}

// Where the last reply begins: an assistant's message at the end goes, to be asked for again.
export function dropLastReply(pane) {
  if (pane.messages.at(-1)?.role === "assistant") pane.messages.pop();
}

// The calls of the last message that have no result yet.
export function openCalls(pane) {
  const last = pane.messages.at(-1);
  return last?.role === "assistant" && !last.isRunning ? last.calls : [];
}

export function addResults(pane, results) {
  const calls = openCalls(pane);
  calls.forEach((call, i) => pane.messages.push({
    role: "tool", id: call.id, name: call.name, content: results[i] ?? "",
  }));
}

function apiMessage(m) {
  if (m.role === "tool") return { role: "tool", tool_call_id: m.id, content: m.content };
  if (m.role !== "assistant") return { role: m.role, content: m.content };
  const message = { role: "assistant", content: m.content };
  if (m.thoughts) message.reasoning_content = m.thoughts;
  if (m.calls.length) {
    message.tool_calls = m.calls.map((c) => ({
      id: c.id, type: "function", function: { name: c.name, arguments: c.arguments },
    }));
  }
  return message;
}

// A reply that failed before it said anything is not told to the model.
export function apiMessages(settings, pane) {
  const said = pane.messages.filter((m) =>
    m.role !== "assistant" || m.content || m.calls.length);
  const system = settings.system.trim();
  return [...(system ? [{ role: "system", content: system }] : []), ...said.map(apiMessage)];
}

function readJson(text, name, isRight, wanted) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (e) {
    throw new Error(`${name}: this is no JSON (${e.message}); ${wanted} is wanted`);
  }
  if (!isRight(value)) throw new Error(`${name}: ${wanted} is wanted`);
  return value;
}

// The request's members but for its messages. Throws where a text of the settings is not what it
// should be.
export function requestMembers(settings) {
  const members = {};
  for (const { name } of NUMBERS) {
    const value = settings.numbers[name];
    if (value !== undefined && value !== null && value !== "") members[name] = Number(value);
  }
  if (settings.thinking) members.enable_thinking = settings.thinking === "on";
  if (settings.effort) members.reasoning_effort = settings.effort;
  if (settings.tools.trim())
    members.tools = readJson(settings.tools, "Tools", Array.isArray, "an array of tools");
  if (settings.more.trim())
    Object.assign(members, readJson(settings.more, "More parameters",
      (v) => v && typeof v === "object" && !Array.isArray(v), "an object"));
  return members;
}

// The body for these panes: several conversations are one request, with a choice each.
export function requestBody(settings, panes) {
  const conversations = panes.map((pane) => apiMessages(settings, pane));
  return { ...requestMembers(settings), stream: true,
    messages: conversations.length === 1 ? conversations[0] : conversations };
}

// What was kept and is loaded again: nothing of it runs.
export function wakeUp(session) {
  for (const pane of session.panes)
    for (const m of pane.messages) if (m.role === "assistant") breakOff(m);
  return session;
}
