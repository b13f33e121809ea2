// A reply's markdown as safe HTML, a block at a time. Whatever a model writes is hostile: HTML in it
// is shown as text, pictures become links (nothing is fetched), links are of the web and of mail
// alone, and all of it goes through DOMPurify, whose result is the only HTML that the page's policy
// lets into the document.
import DOMPurify from "dompurify";
import { Marked } from "marked";
import { highlight } from "./highlight.js";

export const MAX_CHARACTERS = 200000;   // longer text is shown as it is

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => text.replace(/[&<>"']/g, (c) => ESCAPES[c]);

function code({ text, lang }) {
  const language = /^[\w+#.-]{1,30}/.exec(lang ?? "")?.[0] ?? "";
  return `<div class="code"><div class="code-head"><span>${escape(language || "text")}</span>` +
    `<button type="button" class="copy">Copy</button></div>` +
    `<pre tabindex="0"><code>${highlight(text, language) ?? escape(text)}</code></pre></div>`;
}

function link({ href, tokens }) {
  const text = this.parser.parseInline(tokens);
  return /^(https?:\/\/|mailto:)/i.test(href)
    ? `<a href="${escape(href)}" target="_blank" rel="noopener noreferrer">${text}</a>` : text;
}

function image({ href, text }) {
  const shown = escape(text || href);
  return /^https?:\/\//i.test(href)
    ? `<a href="${escape(href)}" target="_blank" rel="noopener noreferrer">${shown}</a>` : shown;
}

const marked = new Marked({ gfm: true, renderer: { code, link, image,
  html: ({ text }) => escape(text), checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  table(token) {
    const row = (cells, tag) => `<tr>${cells.map((cell) =>
      `<${tag}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join("")}</tr>`;
    return `<div class="wide" tabindex="0"><table><thead>${row(token.header, "th")}</thead>` +
      `<tbody>${token.rows.map((cells) => row(cells, "td")).join("")}</tbody></table></div>`;
  } } });

const ALLOWED = {
  ALLOWED_TAGS: ["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "a",
    "ul", "ol", "li", "blockquote", "code", "pre", "span", "div", "button", "table",
    "thead", "tbody", "tr", "th", "td"],
  ALLOWED_ATTR: ["href", "target", "rel", "class", "tabindex", "type", "start"],
  ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_TRUSTED_TYPE: true,
};

// The blocks of a text; null: it is not to be read as markdown. `known` keeps what blocks became,
// so that of a growing text only the last one is made anew.
export function blocksOf(text, known = new Map()) {
  if (text.length > MAX_CHARACTERS) return null;
  try {
    return marked.lexer(text).filter((token) => token.type !== "space").map((token) => {
      if (!known.has(token.raw))
        known.set(token.raw, DOMPurify.sanitize(marked.parser([token]), ALLOWED));
      return known.get(token.raw);
    });
  } catch {
    return null;        // nested deeper than the stack is
  }
}
