// One conversation of those side by side.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Message } from "./message.jsx";
import { openCalls } from "./session.js";
import { useSource } from "./source.js";
import { edit, goOn, isRunning, regenerate, sendResults, sourceOf, stop } from "./store.js";

const NEAR_PX = 60;

// Stays at the end as long as the reader is there.
function useEnd(list) {
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    if (isAtEnd.current) list.current.scrollTop = list.current.scrollHeight;
  });
  return () => {
    const { scrollTop, scrollHeight, clientHeight } = list.current;
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PX;
  };
}

function Results({ calls, onSend }) {
  const [results, set] = useState(() => calls.map(() => ""));
  const setOne = (i, text) => set(results.map((old, k) => (k === i ? text : old)));
  return <form class="results" onSubmit={(e) => { e.preventDefault(); onSend(results); }}>
    {calls.map((call, i) => <label key={i}>Result of {call.name}
      <textarea rows="2" value={results[i]} onInput={(e) => setOne(i, e.target.value)} />
    </label>)}
    <button type="submit">Send results</button>
  </form>;
}

// Drawn again only where something of it changed: a pane is drawn with every token.
function Line({ pane, i, isLast, isBusy, guard }) {
  const m = pane.messages[i];
  const size = m.role === "assistant" ? m.content.length + m.thoughts.length +
    m.calls.reduce((n, c) => n + 1 + c.name.length + c.arguments.length, 0) : 0;
  return useMemo(() => {
    const isReply = m.role === "assistant" && isLast && !isBusy;
    const canGoOn = isReply && m.content && !m.calls.length && m.finish !== "stop";
    return <Message message={m}
      onEdit={m.role === "user" && !isBusy ? (text) => guard(() => edit(pane, i, text)) : null}
      onRegenerate={isReply ? () => guard(() => regenerate(pane)) : null}
      onGoOn={canGoOn ? () => guard(() => goOn(pane)) : null} />;
  }, [m, size, m.isRunning, m.error, isLast, isBusy, guard]);
}

export function Pane({ pane, number, isOnly, guard }) {
  useSource(sourceOf(pane));
  const list = useRef(null);
  const onScroll = useEnd(list);
  const isBusy = isRunning(pane);
  const calls = isBusy ? [] : openCalls(pane);
  const n = pane.messages.length;
  return <section class="pane" aria-label={isOnly ? "Conversation" : `Pane ${number}`}>
    {!isOnly && <div class="pane-head"><h2>{number}</h2>
      {isBusy && <button type="button" onClick={() => stop(pane)}>Stop {number}</button>}
    </div>}
    <div class="scroll" ref={list} onScroll={onScroll} tabindex="0" role="group"
      aria-label={isOnly ? "Messages" : `Messages of pane ${number}`} aria-busy={isBusy}>
      {n === 0 && <p class="empty">Nothing has been said yet.</p>}
      <ol class="messages">{pane.messages.map((_, i) => <Line key={i} pane={pane} i={i}
        isLast={i === n - 1} isBusy={isBusy} guard={guard} />)}</ol>
      {calls.length > 0 && <Results key={n} calls={calls}
        onSend={(results) => guard(() => sendResults(pane, results))} />}
    </div>
  </section>;
}
