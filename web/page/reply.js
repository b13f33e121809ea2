// An assistant's message while it comes: chunks of chat.completion.chunk are added to it.

export function newReply() {
  return { role: "assistant", content: "", thoughts: "", calls: [], finish: null, error: null,
    timings: null, isRunning: true };
}

function takeCall(reply, delta) {
  const call = (reply.calls[delta.index ?? 0] ??= { id: "", name: "", arguments: "" });
  if (delta.id) call.id = delta.id;
  call.name += delta.function?.name ?? "";
  call.arguments += delta.function?.arguments ?? "";
}

// One element of a chunk's choices; `timings` stands beside them in the last one.
export function takeChoice(reply, choice, timings) {
  const delta = choice.delta ?? {};
  reply.content += delta.content ?? "";
  reply.thoughts += delta.reasoning_content ?? "";
  for (const call of delta.tool_calls ?? []) takeCall(reply, call);
  if (!choice.finish_reason) return;
  reply.finish = choice.finish_reason;
  reply.timings = timings ?? null;
  reply.isRunning = false;
}

// What a reply that never ended is left as: of a page that was closed, or a server that went.
export function breakOff(reply, error) {
  if (!reply.isRunning) return;
  reply.isRunning = false;
  reply.finish = error ? "error" : "stopped";
  reply.error = error || null;
}

export function isEmpty(reply) {
  return !reply.content && !reply.thoughts && !reply.calls.length;
}

// The text of a call's arguments as it is shown: indented where it is JSON already.
export function argumentsText(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
