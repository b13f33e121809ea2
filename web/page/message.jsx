// One message of a pane: what was said, thought and called, and what can be done with it.
import { useState } from "preact/hooks";
import { copyFrom, Markdown } from "./markdown_view.jsx";
import { argumentsText, isEmpty } from "./reply.js";

function Thoughts({ text, isThinking }) {
  const [isOpen, setOpen] = useState(null);     // null: as long as it thinks
  const shows = isOpen ?? isThinking;
  const toggle = (event) => {
    event.preventDefault();
    setOpen(!shows);
  };
  return <details class="thoughts" open={shows}>
    <summary onClick={toggle}>{isThinking ? "Thinking…" : "Thoughts"}</summary>
    <div class="plain">{text}</div>
  </details>;
}

function Call({ call }) {
  return <div class="call">
    <div class="call-name">Tool call: <code>{call.name}</code></div>
    <pre tabindex="0"><code>{argumentsText(call.arguments)}</code></pre>
  </div>;
}

function figuresOf({ timings: t }) {
  const all = [`${t.predicted_n} tokens`];
  if (t.predicted_per_second > 0) all.push(`${t.predicted_per_second.toFixed(1)} tok/s`);
  const n = t.prompt_n + t.cache_n;
  all.push(`prompt ${n}${t.cache_n ? ` (${t.cache_n} cached)` : ""}`,
    `${Math.round(t.prompt_ms)} ms to the first token`);
  return all.join(" · ");
}

function endOf(reply) {
  if (reply.finish === "length") return "Cut off: the limit of tokens was reached.";
  if (reply.finish === "stopped") return "Stopped.";
  return null;
}

function Reply({ reply }) {
  const isThinking = reply.isRunning && !reply.content && !reply.calls.length;
  return <>
    {reply.thoughts && <Thoughts text={reply.thoughts} isThinking={isThinking} />}
    {reply.content && <Markdown text={reply.content} isRunning={reply.isRunning} />}
    {reply.calls.map((call, i) => <Call key={i} call={call} />)}
    {reply.isRunning && isEmpty(reply) && <div class="waiting">Waiting for the first token…</div>}
    {reply.error && <div class="error" role="alert">{reply.error}</div>}
    {endOf(reply) && <div class="end">{endOf(reply)}</div>}
    {reply.timings && <div class="figures">{figuresOf(reply)}</div>}
  </>;
}

function Editor({ text, onSend, onCancel }) {
  const [now, set] = useState(text);
  const onKeyDown = (event) => {
    if (event.key === "Escape") onCancel();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (now.trim()) onSend(now);
  };
  return <div class="editor">
    <textarea aria-label="Edit the message" rows={Math.min(12, now.split("\n").length + 1)}
      value={now} onInput={(e) => set(e.target.value)} onKeyDown={onKeyDown}
      ref={(e) => e && e !== document.activeElement && !e.dataset.seen &&
        (e.dataset.seen = "1") && e.focus()} />
    <div class="actions">
      <button type="button" onClick={() => now.trim() && onSend(now)}>Send</button>
      <button type="button" onClick={onCancel}>Cancel</button>
    </div>
  </div>;
}

const WHO = { user: "You", assistant: "Model", tool: "Result" };

// onEdit: of the user's messages; onRegenerate, onGoOn: of the last reply. Absent: not offered.
export function Message({ message, onEdit, onRegenerate, onGoOn }) {
  const [isEdited, setEdited] = useState(false);
  const { role, content } = message;
  const send = (text) => {
    setEdited(false);
    onEdit(text);
  };
  return <li class={`message ${role}`}>
    <div class="who">{WHO[role]}{role === "tool" && <> of <code>{message.name}</code></>}</div>
    {isEdited ? <Editor text={content} onSend={send} onCancel={() => setEdited(false)} />
      : role === "assistant" ? <Reply reply={message} />
      : <div class="plain">{content}</div>}
    {!isEdited && !message.isRunning && <div class="actions">
      {content && <button type="button" onClick={(e) => copyFrom(e.currentTarget, content)}>
        Copy</button>}
      {onEdit && <button type="button" onClick={() => setEdited(true)}>Edit</button>}
      {onRegenerate && <button type="button" onClick={onRegenerate}>Regenerate</button>}
      {onGoOn && <button type="button" onClick={onGoOn}>Continue</button>}
    </div>}
  </li>;
}
