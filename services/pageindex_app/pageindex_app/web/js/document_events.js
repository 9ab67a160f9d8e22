// Keeps the list of documents up to date: reads it, then follows the stream of events; reads it again after each gap.
import { events, getJson, remove, request } from "./api.js";
import { dropDocument, emit, on, putDocument, state } from "./store.js";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;
const SILENCE_MS = 40_000; // a comment comes every 15 s
const PAGE = 500;

export async function loadDocuments() {
  const found = [];
  for (;;) {
    const { documents, total } = await getJson(`/api/documents?limit=${PAGE}&offset=${found.length}`);
    found.push(...documents);
    if (!documents.length || found.length >= total) break;
  }
  const there = new Set(found.map((doc) => doc.id));
  for (const id of [...state.documents.keys()]) if (!there.has(id)) dropDocument(id);
  for (const doc of found) state.documents.set(doc.id, doc);
  state.loaded = true;
  emit("documents", null);
}

/** Follow the events for as long as the page is visible. */
export async function follow() {
  for (let wait = FIRST_WAIT_MS; ;) {
    await visible();
    const control = new AbortController();
    let watchdog;
    const heard = () => { clearTimeout(watchdog); watchdog = setTimeout(() => control.abort(), SILENCE_MS); };
    // A hidden tab gives its connection back: a browser has six for one host, all tabs together.
    const hidden = () => { if (document.hidden) control.abort(); };
    document.addEventListener("visibilitychange", hidden);
    try {
      heard();
      const response = await request("GET", "/api/events", { accept: "text/event-stream", signal: control.signal });
      await loadDocuments(); // what changed while nobody listened
      wait = FIRST_WAIT_MS;
      for await (const { event, data } of events(response, heard)) {
        if (event === "document") putDocument(data);
        else if (event === "removed") dropDocument(data.id);
      }
    } catch (error) {
      if (error.status === 401) return;
      if (error.name !== "AbortError") emit("doubt");
    } finally {
      clearTimeout(watchdog);
      document.removeEventListener("visibilitychange", hidden);
    }
    if (!document.hidden) {
      await pause(wait * (0.75 + Math.random() / 2)); // so that many pages do not reconnect at once
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }
}

let cutShort = () => {};
on("recovered", () => cutShort());

function pause(milliseconds) {
  return new Promise((resolve) => { cutShort = resolve; setTimeout(resolve, milliseconds); });
}

function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", function seen() {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", seen);
      resolve();
    });
  });
}

/** When the page is left: delete the documents for which an undo is still offered. */
export function finishRemovals() {
  for (const id of state.removing) remove(`/api/documents/${encodeURIComponent(id)}`, { keepalive: true }).catch(() => {});
}
