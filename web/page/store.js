// What is open: one session, its replies under way, and the list of what is kept. Components change
// nothing of a session themselves.
import { request, streamChat } from "./api.js";
import * as history from "./history.js";
import { breakOff, newReply, takeChoice } from "./reply.js";
import {
  addResults, cutAfter, dropLastReply, newSession, requestBody, requestMembers, showPanes, titleOf,
  wakeUp,
} from "./session.js";
import { ofBrowser } from "./small.js";
import { Source } from "./source.js";

const SAVE_MS = 1000;

export const sessions = Object.assign(new Source(), { list: [], isKept: true });
export const open = Object.assign(new Source(), { session: newSession() });
export const said = Object.assign(new Source(), { text: "" });     // to screen readers

const sources = new WeakMap();      // of panes
const runs = new WeakMap();         // of panes with a reply under way
const live = new Map();             // sessions with such panes, by id: open or not, they go on

export function sourceOf(pane) {
  if (!sources.has(pane)) sources.set(pane, new Source());
  return sources.get(pane);
}

export const isRunning = (pane) => runs.has(pane);
export const shownPanes = () => open.session.panes.slice(0, open.session.nShown);
export const isAnyRunning = () => open.session.panes.some(isRunning);

function say(text) {
  said.text = text;
  said.tell();
}

// ---- keeping ---------------------------------------------------------------------------------

const LAST = "paceline.session";
const timers = new Map();
const removed = new Set();      // what of them still ends is not kept again

async function saveNow(session) {
  if (removed.has(session.id)) return;
  clearTimeout(timers.get(session.id));
  timers.delete(session.id);
  await history.save(session);
  await readList();
}

function saveSoon(session) {
  if (!timers.has(session.id))
    timers.set(session.id, setTimeout(() => saveNow(session), SAVE_MS));
}

async function readList() {
  sessions.list = await history.list();
  sessions.isKept = await history.isKept();
  sessions.tell();
}

function changed(session) {
  session.updated = Date.now();
  if (session === open.session) ofBrowser.set(LAST, session.id);
  return saveNow(session);
}

// ---- sessions --------------------------------------------------------------------------------

function show(session) {
  open.session = session;
  ofBrowser.set(LAST, session.id);
  open.tell();
}

export async function start() {
  await readList();
  const last = ofBrowser.get(LAST);
  if (sessions.list.some(({ id }) => id === last)) await openSession(last);
}

export async function openSession(id) {
  const kept = live.get(id) ?? await history.load(id);
  if (kept) show(live.has(id) ? kept : wakeUp(kept));
}

export function newChat() {
  show(newSession(open.session.settings));
}

export async function removeSession(id) {
  if (live.has(id)) stopAll(live.get(id));
  if (open.session.id === id) newChat();
  removed.add(id);
  clearTimeout(timers.get(id));
  timers.delete(id);
  await history.remove(id);
  await readList();
}

export function setSettings(settings) {
  open.session.settings = settings;
  open.tell();
  if (open.session.panes.some((pane) => pane.messages.length)) saveSoon(open.session);
}

export function setPanes(n) {
  open.session.panes.slice(n).forEach(stop);
  showPanes(open.session, n);
  open.tell();
  if (open.session.panes.some((pane) => pane.messages.length)) saveSoon(open.session);
}

// ---- replies ---------------------------------------------------------------------------------

function endReply(session, pane, error) {
  breakOff(pane.messages.at(-1), error);
  runs.delete(pane);
  sourceOf(pane).tell();
  saveSoon(session);
}

function takeChunk(session, panes, run, chunk) {
  if (!run.id) {
    run.id = chunk.id;      // from now on those can be cancelled that were stopped before
    panes.forEach((pane, i) => runs.get(pane) !== run && cancelChoice(run, i));
  }
  for (const choice of chunk.choices) {
    const pane = panes[choice.index];
    const reply = pane.messages.at(-1);
    if (runs.get(pane) !== run) continue;
    takeChoice(reply, choice, chunk.timings);
    if (!reply.isRunning) endReply(session, pane, null);
    else sourceOf(pane).tellSoon();
  }
}

function begin(session, panes, goesOn) {
  const one = { abort: new AbortController(), id: null, session, panes };
  live.set(session.id, session);
  for (const pane of panes) {
    if (goesOn) Object.assign(pane.messages.at(-1), { isRunning: true, finish: null, error: null });
    else pane.messages.push(newReply());
    runs.set(pane, one);
    sourceOf(pane).tell();
  }
  open.tell();
  return one;
}

function failureOf(error, one) {
  if (one.abort.signal.aborted) return null;
  return error instanceof TypeError ? "The server cannot be reached." : error.message;
}

// Asks for a reply in each of these panes: one request, however many there are, because browsers
// open few connections to one server. goesOn: the reply that is there is continued.
async function run(session, panes, goesOn = false) {
  const body = requestBody(session.settings, panes);
  const one = begin(session, panes, goesOn);
  let error = null;
  changed(session);
  try {
    await streamChat(body, one.abort.signal, (chunk) => {
      takeChunk(session, panes, one, chunk);
      saveSoon(session);
    });
  } catch (e) {
    error = failureOf(e, one);
  }
  for (const pane of panes) if (runs.get(pane) === one) endReply(session, pane, error);
  say(error ? `The reply failed: ${error}` : panes.length > 1 ? "The replies are complete."
    : "The reply is complete.");
  open.tell();
  await changed(session);
  if (!session.panes.some(isRunning)) live.delete(session.id);
}

// What is wrong with the settings, or null. Nothing is sent then.
export function settingsProblem(settings) {
  try {
    requestMembers(settings);
    return null;
  } catch (e) {
    return e.message;
  }
}

// To all panes that are shown.
export async function send(text) {
  const { session } = open, panes = shownPanes();
  if (panes.some(isRunning)) return;
  if (session.title === "New chat") session.title = titleOf(text);
  for (const pane of panes) pane.messages.push({ role: "user", content: text });
  await run(session, panes);
}

export function regenerate(pane) {
  dropLastReply(pane);
  return run(open.session, [pane]);
}

export const goOn = (pane) => run(open.session, [pane], true);

// Message i of the user's becomes this text, and the conversation goes on from there.
export function edit(pane, i, text) {
  cutAfter(pane, i);
  pane.messages[i] = { role: "user", content: text };
  return run(open.session, [pane]);
}

export function sendResults(pane, results) {
  addResults(pane, results);
  return run(open.session, [pane]);
}

function cancelChoice({ id }, choice) {
  request(`v1/chat/completions/${id}/cancel`, { body: { choice } }).catch(() => {});
}

// One of several replies to a request is ended by the server; the last of them with the connection.
export function stop(pane) {
  const one = runs.get(pane);
  if (!one) return;
  const isLast = one.panes.every((p) => p === pane || runs.get(p) !== one);
  endReply(one.session, pane, null);
  open.tell();
  if (isLast) one.abort.abort();
  else if (one.id && !one.abort.signal.aborted) cancelChoice(one, one.panes.indexOf(pane));
}

export function stopAll(session = open.session) {
  for (const pane of session.panes) {
    runs.get(pane)?.abort.abort();
    stop(pane);
  }
}
