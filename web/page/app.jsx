// The page: what is on top of it, and the chat or the board below.
import { useEffect, useState } from "preact/hooks";
import { giveKey, keyWish, requestJson } from "./api.js";
import { Board } from "./board.jsx";
import { Chat } from "./chat.jsx";
import { Dialog } from "./dialog.jsx";
import { health } from "./health.js";
import { useSource } from "./source.js";
import { said } from "./store.js";
import { setTheme, theme, THEMES } from "./theme.js";

const viewOf = () => (location.hash === "#board" ? "board" : "chat");

function useView() {
  const [view, set] = useState(viewOf);
  useEffect(() => {
    const onHash = () => set(viewOf());
    addEventListener("hashchange", onHash);
    return () => removeEventListener("hashchange", onHash);
  }, []);
  return view;
}

// The model's name, once there is one.
function useModel() {
  const [name, set] = useState("");
  const isWell = health.state === "ok";
  useEffect(() => {
    if (isWell) requestJson("v1/models").then((list) => set(list.data[0].id), () => {});
  }, [isWell]);
  return name;
}

function KeyDialog() {
  const [key, set] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (key.trim()) giveKey(key.trim());
  };
  return <Dialog title="API key" onClose={() => giveKey(null)}>
    <form class="settings" onSubmit={submit}>
      <p>{keyWish.isRefused ? "The server does not take this key." : "The server wants a key."} It
        is kept in this tab and forgotten with it.</p>
      <label>Key <input type="password" autocomplete="off" value={key}
        onInput={(e) => set(e.target.value)} /></label>
      <div class="actions">
        <button type="submit" class="first">Use it</button>
        <button type="button" onClick={() => giveKey(null)}>Cancel</button>
      </div>
    </form>
  </Dialog>;
}

function Head({ view }) {
  const model = useModel();
  const link = (name, text) => <a href={`#${name}`}
    aria-current={view === name ? "page" : undefined}>{text}</a>;
  return <header>
    <h1>paceline</h1>
    <span class="model">{model}</span>
    <nav class="views" aria-label="Views">{link("chat", "Chat")}{link("board", "Board")}</nav>
    <label class="theme"><span class="hidden">Colours</span>
      <select value={theme.name} onChange={(e) => setTheme(e.target.value)}>
        {THEMES.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  </header>;
}

export function App() {
  useSource(theme);
  useSource(health);
  useSource(said);
  useSource(keyWish);
  const view = useView();
  return <>
    <Head view={view} />
    {health.text && <p class="banner" role="alert">{health.text}</p>}
    {view === "board" ? <Board /> : <Chat />}
    <div class="hidden" role="status">{said.text}</div>
    {keyWish.isAsked && <KeyDialog />}
  </>;
}
