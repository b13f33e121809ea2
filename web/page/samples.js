// What the board shows: /metrics and /slots once a second while somebody looks, and what follows
// from one sample to the next.
import { request, requestJson } from "./api.js";
import { metric, parseMetrics, quantile, rate } from "./metrics.js";
import { Source } from "./source.js";

const EVERY_MS = 1000, MAX_POINTS = 300;
const WINDOW = 10;      // quantiles are of so many samples

// points: one object of figures a sample; slots: of the last one; problem: why there is nothing new.
export const samples = Object.assign(new Source(), { points: [], slots: [], problem: "" });

const raw = [];

function figuresOf(before, past, now) {
  const value = (name) => metric(now.samples, `paceline_${name}`);
  const of = (name) => rate(before, now, `paceline_${name}`);
  const at = (name, q) => (past ? quantile(past, now, `paceline_${name}_seconds`, q) : null);
  const ms = (seconds) => (seconds === null ? null : seconds * 1000);
  return {
    at: now.at / 1000, reply: of("reply_tokens_total"), prompt: of("prompt_tokens_total"),
    running: value("streams_running"), queued: value("streams_queued"), slots: value("slots"),
    pages: value("kv_pages"), used: value("kv_pages_used"), cached: value("kv_pages_cached"),
    first50: ms(at("time_to_first_token", 0.5)), first95: ms(at("time_to_first_token", 0.95)),
    token50: ms(at("inter_token_latency", 0.5)), token95: ms(at("inter_token_latency", 0.95)),
    finished: value("finished_total"), rejected: value("rejected_total"),
    memory: value("resident_memory_bytes"),
  };
}

function add(text) {
  const now = { at: Date.now(), samples: parseMetrics(text) };
  const before = raw.at(-1);
  if (before && now.at - before.at > 5 * EVERY_MS) samples.points.push({ at: before.at / 1000 + 1 });
  raw.push(now);
  samples.points.push(figuresOf(before, raw[0], now));
  if (raw.length > WINDOW) raw.shift();
  samples.points.splice(0, samples.points.length - MAX_POINTS);
}

// A server that has switched one of them off answers 501: the other is shown.
const orNothing = (promise, nothing) =>
  promise.catch((e) => (e.status === 501 ? nothing : Promise.reject(e)));

async function take() {
  const signal = AbortSignal.timeout(10000);
  const text = request("metrics", { signal }).then((r) => r.text());
  try {
    const [metrics, slots] = await Promise.all([
      orNothing(text, null), orNothing(requestJson("slots", { signal }), null)]);
    if (metrics !== null) add(metrics);
    samples.slots = slots ?? [];
    samples.problem = metrics === null ? "The server was started with --no-metrics." : "";
  } catch (e) {
    samples.problem = e.status ? e.message : "No new figures: the server cannot be reached.";
  }
  samples.tell();
}

// Returns how to stop it.
export function watchSamples() {
  let isOver = false;
  (async () => {
    while (!isOver) {
      if (!document.hidden) await take();
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  })();
  return () => { isOver = true; };
}
