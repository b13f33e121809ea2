// The chat: kept sessions, panes, and where messages are written.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Pane } from "./pane.jsx";
import { MAX_PANES } from "./session.js";
import { Settings } from "./settings.jsx";
import { useSource } from "./source.js";
import {
  isAnyRunning, newChat, open, openSession, removeSession, send, sessions, setPanes,
  settingsProblem, shownPanes, stopAll,
} from "./store.js";

function Sessions({ isOpen, onChosen }) {
  useSource(sessions);
  useSource(open);
  const remove = ({ id, title }) => {
    if (confirm(`Delete "${title}"?`)) removeSession(id);
  };
  return <nav id="sessions" class={isOpen ? "sessions is-open" : "sessions"} aria-label="Chats">
    <button type="button" class="first" onClick={() => { newChat(); onChosen(); }}>New chat</button>
    {!sessions.isKept && <p class="note">This browser keeps nothing: chats end with the page.</p>}
    <ul>{sessions.list.map((head) => <li key={head.id}>
      <button type="button" class="title" title={head.title}
        aria-current={head.id === open.session.id ? "true" : undefined}
        onClick={() => { openSession(head.id); onChosen(); }}>{head.title}</button>
      <button type="button" class="remove" aria-label={`Delete ${head.title}`}
        onClick={() => remove(head)}>×</button>
    </li>)}</ul>
  </nav>;
}

function PaneCount() {
  const n = open.session.nShown;
  return <div class="count" role="group" aria-label="Panes side by side">
    <button type="button" aria-label="One pane less" disabled={n === 1}
      onClick={() => setPanes(n - 1)}>−</button>
    <label>Panes <input type="number" min="1" max={MAX_PANES} value={n}
      onChange={(e) => {
        setPanes(Number(e.target.value) || 1);
        e.target.value = open.session.nShown;
      }} /></label>
    <button type="button" aria-label="One pane more" disabled={n === MAX_PANES}
      onClick={() => setPanes(n + 1)}>+</button>
  </div>;
}

function Composer({ guard }) {
  const [text, set] = useState("");
  const area = useRef(null);
  const isBusy = isAnyRunning(), n = open.session.nShown;
  useEffect(() => area.current.focus(), [open.session]);
  const submit = (event) => {
    event?.preventDefault();
    if (isBusy || !text.trim()) return;
    if (guard(() => send(text))) set("");
  };
  const onKeyDown = (event) => {
    if (event.key === "Escape" && isBusy) stopAll();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  };
  return <form class="composer" onSubmit={submit}>
    <textarea ref={area} aria-label="Message" rows={Math.min(8, text.split("\n").length + 1)}
      placeholder={n > 1 ? `Message to all ${n} panes` : "Message"} value={text}
      onInput={(e) => set(e.target.value)} onKeyDown={onKeyDown} aria-describedby="keys" />
    <span id="keys" class="hidden">Enter sends, Shift and Enter is a new line, Escape stops</span>
    {isBusy ? <button type="button" class="first" onClick={() => stopAll()}>Stop</button>
      : <button type="submit" class="first" disabled={!text.trim()}>Send</button>}
  </form>;
}

// A row, as long as panes fit side by side; then rows.
const classOf = (n) => `panes${n > 1 ? " are-many" : ""}${n > 4 ? " are-grid" : ""}`;

export function Chat() {
  useSource(open);
  const [problem, setProblem] = useState(null);
  const [hasSettings, setSettings] = useState(false);
  const [hasList, setList] = useState(false);
  // Does it, unless the settings are wrong. Whether it was done.
  const guard = useCallback((work) => {
    const wrong = settingsProblem(open.session.settings);
    setProblem(wrong);
    if (!wrong) work();
    return !wrong;
  }, []);
  const panes = shownPanes();
  return <div class="chat">
    <Sessions isOpen={hasList} onChosen={() => setList(false)} />
    <main class="talk" aria-label="Chat">
      <div class="bar">
        <button type="button" class="only-narrow" aria-expanded={hasList} aria-controls="sessions"
          onClick={() => setList(!hasList)}>Chats</button>
        <PaneCount />
        <button type="button" onClick={() => setSettings(true)}>Settings</button>
      </div>
      <div class={classOf(panes.length)}>
        {panes.map((pane, i) => <Pane key={`${open.session.id} ${i}`} pane={pane} number={i + 1}
          isOnly={panes.length === 1} guard={guard} />)}
      </div>
      {problem && <p class="error" role="alert">{problem}</p>}
      <Composer guard={guard} />
    </main>
    {hasSettings && <Settings onClose={() => setSettings(false)} />}
  </div>;
}
