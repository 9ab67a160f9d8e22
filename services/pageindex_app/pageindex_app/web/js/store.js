// The state that the parts of the page share, and the events by which they hear of its changes.

export const state = {
  documents: new Map(), // id -> document, as the API gives it
  loaded: false, // the list has been read once
  chosen: new Set(), // ids of the documents to be asked; empty means all
  removing: new Set(), // ids that are gone from the page but may still be brought back
  conversations: [],
  conversation: null, // id of the one on the page; null before the first question
  open: null, // {id, page, quote} of the document in the reader
  online: true, // the service answers
  model: { ok: true, reason: "" },
};

const listeners = new Map();

export function on(topic, listener) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(listener);
}

export function emit(topic, detail) {
  for (const listener of listeners.get(topic) ?? []) listener(detail);
}

/** Documents that are on the page, newest first. */
export function visibleDocuments() {
  return [...state.documents.values()].filter((doc) => !state.removing.has(doc.id));
}

export function readyDocuments() {
  return visibleDocuments().filter((doc) => doc.status === "ready");
}

/** The documents that a question goes to; null means all. */
export function asked() {
  const ids = [...state.chosen].filter((id) => state.documents.get(id)?.status === "ready" && !state.removing.has(id));
  return ids.length ? ids : null;
}

export function choose(id, chosen) {
  if (chosen) state.chosen.add(id);
  else state.chosen.delete(id);
  emit("chosen");
}

export function chooseOnly(ids) {
  state.chosen = new Set(ids);
  emit("chosen");
}

export function putDocument(doc) {
  state.documents.set(doc.id, doc);
  emit("documents", doc);
}

export function dropDocument(id) {
  state.documents.delete(id);
  state.removing.delete(id);
  if (state.chosen.delete(id)) emit("chosen");
  emit("documents", null);
  if (state.open?.id === id) closeDocument();
}

export function openDocument(id, page = 1, quote = "") {
  state.open = { id, page, quote };
  emit("open");
}

export function closeDocument() {
  state.open = null;
  emit("open");
}

export function show(view) {
  document.body.dataset.view = view;
  emit("view");
}
