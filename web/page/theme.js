// Light, dark, or as the system has it; kept in the browser.
import { ofBrowser } from "./small.js";
import { Source } from "./source.js";

const KEY = "paceline.theme";
export const THEMES = ["auto", "light", "dark"];

export const theme = Object.assign(new Source(), { name: "auto" });

function apply(name) {
  theme.name = THEMES.includes(name) ? name : "auto";
  document.documentElement.dataset.theme = theme.name;
  theme.tell();
}

export function setTheme(name) {
  ofBrowser.set(KEY, name);
  apply(name);
}

export function startTheme() {
  apply(ofBrowser.get(KEY));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme.tell());
}

// A colour of the style sheet, as a canvas takes it.
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
