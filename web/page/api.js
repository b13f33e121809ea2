// Requests to the server that gave the page. Where it wants a key, the user is asked once and the
// requests that waited go on; the key stays in this tab.
import { ofTab } from "./small.js";
import { eventReader } from "./sse.js";
import { Source } from "./source.js";

const KEY = "paceline.key";
const root = location.pathname.replace(/\/*$/, "/");    // with what --api-prefix puts before it

// isAsked: a key is wanted; isRefused: one was given and is not right.
export const keyWish = Object.assign(new Source(), { isAsked: false, isRefused: false });

let asking = null;
let answer = null;

function askKey() {
  asking ??= new Promise((resolve) => { answer = resolve; }).finally(() => { asking = null; });
  if (!keyWish.isAsked) {
    keyWish.isAsked = true;
    keyWish.isRefused = ofTab.get(KEY) !== null;
    keyWish.tell();
  }
  return asking;
}

// null: the user has none.
export function giveKey(key) {
  if (key) ofTab.set(KEY, key);
  keyWish.isAsked = false;
  keyWish.tell();
  answer?.(key);
}

async function errorOf(response) {
  let said;
  try {
    said = (await response.json()).error;
  } catch {
    said = null;
  }
  const error = new Error(said?.message ?? `the server answered ${response.status}`);
  return Object.assign(error, { status: response.status, code: said?.code, percent: said?.percent });
}

// The response, or an Error: with `status` if it is the server's.
export async function request(path, { body, signal, asksKey = true } = {}) {
  for (;;) {
    const key = ofTab.get(KEY);
    const response = await fetch(root + path, {
      method: body ? "POST" : "GET", signal, cache: "no-store", credentials: "omit",
      headers: { ...(body && { "Content-Type": "application/json" }),
        ...(key && { Authorization: `Bearer ${key}` }) },
      body: body && JSON.stringify(body),
    });
    if (response.ok) return response;
    if (response.status !== 401 || !asksKey) throw await errorOf(response);
    const isOld = ofTab.get(KEY) !== key;     // another request was told meanwhile
    if (!isOld && !(await askKey())) throw await errorOf(response);
  }
}

export async function requestJson(path, more) {
  return (await request(path, more)).json();
}

// Calls onChunk with every chunk of a streamed answer. Throws where the stream ends early.
export async function streamChat(body, signal, onChunk) {
  const response = await request("v1/chat/completions", { body, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let isDone = false;
  const push = eventReader((data) => {
    if (data === "[DONE]") {
      isDone = true;
      return;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    onChunk(chunk);
  });
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    push(value);
  }
  if (!isDone) throw new Error("the server ended the stream early");
}
