// Whether the server is there: asked every few seconds, and more often while it is not.
import { request } from "./api.js";
import { Source } from "./source.js";

const WELL_MS = 5000, ILL_MS = 1000;

// state: unknown, ok, gone, loading, ill; text: what is said of it, "" where all is well.
export const health = Object.assign(new Source(), { state: "unknown", text: "" });

function stateOf(error) {
  if (!error.status) return ["gone", "The server cannot be reached. Trying again…"];
  if (error.code === "loading") return ["loading", `The model is being loaded: ${error.percent} %`];
  return ["ill", error.message];
}

async function ask() {
  let state = "ok", text = "";
  try {
    await request("health", { asksKey: false, signal: AbortSignal.timeout(10000) });
  } catch (e) {
    [state, text] = stateOf(e);
  }
  if (state !== health.state || text !== health.text) {
    Object.assign(health, { state, text });
    health.tell();
  }
}

export async function watchHealth() {
  for (;;) {
    if (!document.hidden || health.state === "unknown") await ask();
    await new Promise((resolve) => setTimeout(resolve, health.state === "ok" ? WELL_MS : ILL_MS));
  }
}
