// A text as markdown, while it grows.
import { useRef } from "preact/hooks";
import { blocksOf } from "./markdown.js";

const LONG_MS = 12, REST = 8;   // a text that takes long to read is read less often

async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");      // not a secure context
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export async function copyFrom(button, text) {
  await copyText(text);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

function onClick(event) {
  const button = event.target.closest("button.copy");
  if (button) copyFrom(button, button.closest(".code").querySelector("code").textContent);
}

export function Markdown({ text, isRunning }) {
  const kept = useRef({ known: new Map(), blocks: [], text: "", nextMs: 0 }).current;
  const now = performance.now();
  if (text !== kept.text && (!isRunning || now >= kept.nextMs)) {
    kept.blocks = blocksOf(text, kept.known);
    kept.text = text;
    const took = performance.now() - now;
    kept.nextMs = took > LONG_MS ? now + took * REST : 0;
    if (!isRunning) kept.known = new Map();
  }
  if (!kept.blocks) return <div class="plain">{text}</div>;
  return <div class="markdown" onClick={onClick}>
    {kept.blocks.map((html, i) => <div key={i} dangerouslySetInnerHTML={{ __html: html }} />)}
  </div>;
}
