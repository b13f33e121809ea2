// The live board: what the server does, now and in the last five minutes.
import { useEffect } from "preact/hooks";
import { Plot } from "./plot.jsx";
import { samples, watchSamples } from "./samples.js";
import { useSource } from "./source.js";
import { theme } from "./theme.js";

const share = (a, b) => (b ? (100 * a) / b : null);

const PLOTS = [
  { title: "Tokens a second", series: [
    { label: "replies", hue: "--hue-1", of: (p) => p.reply },
    { label: "prompts", hue: "--hue-2", of: (p) => p.prompt }] },
  { title: "Streams", series: [
    { label: "running", hue: "--hue-1", of: (p) => p.running },
    { label: "queued", hue: "--hue-2", of: (p) => p.queued },
    { label: "slots", hue: "--hue-3", of: (p) => p.slots }] },
  { title: "KV pages", unit: " %", series: [
    { label: "used", hue: "--hue-1", of: (p) => share(p.used, p.pages) },
    { label: "used and kept", hue: "--hue-2", of: (p) => share(p.used + p.cached, p.pages) }] },
  { title: "To the first token", unit: " ms", series: [
    { label: "half within", hue: "--hue-1", of: (p) => p.first50 },
    { label: "95 % within", hue: "--hue-2", of: (p) => p.first95 }] },
  { title: "From token to token", unit: " ms", series: [
    { label: "half within", hue: "--hue-1", of: (p) => p.token50 },
    { label: "95 % within", hue: "--hue-2", of: (p) => p.token95 }] },
];

const number = (v, digits = 0) =>
  (v === null || v === undefined ? "–" : v.toLocaleString("en", { maximumFractionDigits: digits }));

const withUnit = (text, unit) => (text === "–" ? text : `${text} ${unit}`);

const TILES = [
  ["Reply tokens a second", (p) => number(p.reply, 1)],
  ["Prompt tokens a second", (p) => number(p.prompt, 1)],
  ["Running", (p) => `${number(p.running)} of ${number(p.slots)}`],
  ["Queued", (p) => number(p.queued)],
  ["KV used", (p) => withUnit(number(share(p.used, p.pages)), "%")],
  ["To the first token", (p) => withUnit(number(p.first50), "ms")],
  ["Finished", (p) => number(p.finished)],
  ["Refused", (p) => number(p.rejected)],
  ["Memory", (p) => withUnit(number(p.memory && p.memory / 2 ** 30, 2), "GiB")],
];

const progressOf = (s) => (s.state === "prefill" ? s.n_prompt_tokens_processed / s.n_prompt_tokens
  : s.max_tokens ? s.n_decoded / s.max_tokens : 0);

function Slots({ slots }) {
  return <div class="wide" tabindex="0" role="group" aria-label="Slots">
    <table class="slots"><caption>Slots</caption>
      <thead><tr><th>Slot</th><th>State</th><th>Prompt</th><th>Cached</th><th>Reply</th>
        <th>Progress</th><th>Age</th></tr></thead>
      <tbody>{slots.map((s) => <tr key={s.id} class={s.is_processing ? "is-busy" : ""}>
        <td>{s.id}</td><td>{s.state}</td>
        <td>{s.n_prompt_tokens_processed} of {s.n_prompt_tokens}</td>
        <td>{s.n_prompt_tokens_cache}</td><td>{s.n_decoded}</td>
        <td>{s.is_processing && <progress max="1" value={progressOf(s)}
          aria-label={`Slot ${s.id}`} />}</td>
        <td>{s.is_processing ? `${(s.age_ms / 1000).toFixed(1)} s` : ""}</td>
      </tr>)}</tbody>
    </table>
  </div>;
}

export function Board() {
  useSource(samples);
  useSource(theme);
  useEffect(watchSamples, []);
  const { points, slots, problem } = samples;
  const last = points.at(-1) ?? {};
  return <main class="board" aria-label="Board">
    {problem && <p class="error" role="alert">{problem}</p>}
    <dl class="tiles">{TILES.map(([name, of]) => <div key={name}>
      <dt>{name}</dt><dd>{points.length ? of(last) : "–"}</dd></div>)}</dl>
    <div class="plots">{PLOTS.map((plot) => <Plot key={`${plot.title} ${theme.version}`} {...plot}
      points={points} />)}
    </div>
    {slots.length > 0 && <Slots slots={slots} />}
  </main>;
}
