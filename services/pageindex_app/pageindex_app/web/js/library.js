// The list of documents: upload, find, choose which ones are asked, see how indexing goes.
import { getJson } from "./api.js";
import { fill, h, icon, setText } from "./dom.js";
import { plural, unit } from "./format.js";
import { documentRow, removeDocuments, uploadRow } from "./rows.js";
import { chooseOnly, emit, on, openDocument, state, visibleDocuments } from "./store.js";
import { ACCEPTED, addFiles, uploads } from "./uploads.js";

const FILTERS = { all: "All", ready: "Ready", working: "Working", failed: "Failed" };
const SEARCH_FROM = 3; // letters before the text of documents is searched too
const SEARCH_WAIT_MS = 300;

const rows = new Map(); // id -> row
const uploadRows = new Map(); // entry -> row
let filter = "all";
let query = "";
let parts;

export function libraryPanel() {
  const files = h("input", { type: "file", multiple: true, accept: ACCEPTED, class: "unseen", tabindex: "-1", "aria-label": "Files to add", id: "files", on: { change: taken } });
  const folder = h("input", { type: "file", webkitdirectory: true, class: "unseen", tabindex: "-1", "aria-label": "Folder to add", on: { change: taken } });
  const search = h("input", { type: "search", id: "search", class: "field", placeholder: "Find names and words", "aria-label": "Find documents and words in them", autocomplete: "off", on: { input: typed, keydown: leaveSearch } });
  parts = {
    search,
    summary: h("p", { class: "unseen", role: "status" }),
    filters: h("div", { class: "filters", role: "radiogroup", "aria-label": "Show" }),
    tools: h("div", { class: "library-tools" }),
    chosen: h("div", { class: "chosen-bar" }),
    uploads: h("ul", { class: "rows", "aria-label": "Uploads" }),
    list: h("ul", { class: "rows", id: "documents", "aria-label": "Documents" }),
    empty: h("div", { class: "library-empty" }),
    hits: h("div", { class: "hits" }),
    drop: h("div", { class: "drop" },
      h("div", { class: "drop-words" }, h("strong", {}, "Drop files here"), h("span", { class: "muted" }, "PDF, Markdown, text")),
      h("div", { class: "drop-buttons" },
        h("button", { type: "button", class: "button", "aria-label": "Add files", on: { click: () => files.click() } }, icon("add"), "Add"),
        h("button", { type: "button", class: "icon-button outlined", "aria-label": "Add a folder", title: "Add a folder", on: { click: () => folder.click() } }, icon("folder")))),
  };
  fill(parts.tools, h("div", { class: "search" }, icon("search"), search), parts.filters, parts.chosen);
  for (const topic of ["documents", "uploads"]) on(topic, soon);
  on("progress", (entry) => uploadRows.get(entry)?.update());
  on("chosen", soon);
  on("open", soon);
  draw();
  return h("div", { class: "library-body", id: "documents-panel" }, files, folder, parts.drop, parts.tools, parts.summary,
    h("div", { class: "library-scroll" }, parts.uploads, parts.list, parts.empty, parts.hits));
}

export function focusSearch() {
  if (parts.tools.hidden) return;
  parts.search.focus();
  parts.search.select();
}

function taken(event) {
  addFiles([...event.target.files]);
  event.target.value = ""; // so that the same file can be chosen again
}

let waiting = false;
function soon() { // many events come at once; one drawing is enough
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
  if (document.hidden) setTimeout(() => { if (waiting) { waiting = false; draw(); } }, 100);
}

const SORTS = { failed: (doc) => doc.status === "failed", working: (doc) => doc.status === "queued" || doc.status === "indexing", ready: (doc) => doc.status === "ready", all: () => true };

function draw() {
  const all = visibleDocuments().sort((a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : a.name.localeCompare(b.name)));
  const counts = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, all.filter(SORTS[name]).length]));
  if (filter !== "all" && !counts[filter]) filter = "all";
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = all.filter((doc) => SORTS[filter](doc) && words.every((word) => doc.name.toLowerCase().includes(word)));
  parts.drop.classList.toggle("large", state.loaded && !all.length && !uploads.length);
  parts.tools.hidden = !all.length;
  drawFilters(counts);
  drawChosen(shown);
  place(parts.uploads, uploads, uploadRows, uploadRow);
  place(parts.list, shown, rows, (doc) => documentRow(doc.id), (doc) => doc.id);
  drawEmpty(all, shown);
  const summary = !state.loaded ? "" : query || filter !== "all" ? `${shown.length} of ${plural(all.length, "document")} shown` : "";
  setText(parts.summary, summary);
  emit("counted", { documents: all.length, working: counts.working });
}

/** Keep rows where they are: focus, selection and scroll survive each change. */
function place(list, items, known, make, keyOf = (item) => item) {
  const keys = new Set(items.map(keyOf));
  for (const [key, row] of known) {
    if (keys.has(key)) continue;
    if (row.element.contains(document.activeElement)) (row.element.nextElementSibling ?? row.element.previousElementSibling)?.querySelector("button")?.focus();
    row.element.remove();
    known.delete(key);
  }
  let before = list.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (!known.has(key)) known.set(key, make(item));
    const row = known.get(key);
    row.update();
    if (row.element === before) before = before.nextElementSibling;
    else list.insertBefore(row.element, before);
  }
  list.hidden = !items.length;
}

function drawFilters(counts) {
  const worth = Object.keys(FILTERS).filter((name) => name === "all" || counts[name]);
  parts.filters.hidden = worth.length < 3; // all have the same status: there is nothing to filter
  if (parts.filters.hidden) { filter = "all"; return; }
  for (const name of Object.keys(FILTERS)) {
    let label = parts.filters.querySelector(`[data-filter="${name}"]`);
    if (!label) {
      const input = h("input", { type: "radio", name: "filter", value: name, class: "unseen", on: { change: () => { filter = name; draw(); } } });
      label = h("label", { "data-filter": name, class: "filter" }, input, h("span", {}, FILTERS[name]), " ", h("span", { class: "count" }));
      parts.filters.append(label);
    }
    label.hidden = !worth.includes(name);
    label.querySelector("input").checked = filter === name;
    setText(label.querySelector(".count"), String(counts[name]));
  }
}

function drawChosen(shown) {
  const ready = shown.filter((doc) => doc.status === "ready").map((doc) => doc.id);
  const chosen = [...state.chosen].filter((id) => !state.removing.has(id));
  parts.chosen.hidden = visibleDocuments().length < 2;
  if (!parts.chosen.firstChild) {
    fill(parts.chosen,
      h("label", { class: "choose-all" }, h("input", { type: "checkbox", class: "check", on: { change: (event) => chooseOnly(event.target.checked ? event.target.ready : []) } }), h("span", {})),
      h("button", { type: "button", class: "link danger", on: { click: () => removeDocuments([...state.chosen]) } }, "Delete…"),
      h("button", { type: "button", class: "link", on: { click: () => chooseOnly([]) } }, "Clear"));
  }
  const [label, removal, clear] = parts.chosen.children;
  const box = label.firstChild;
  box.ready = ready;
  box.checked = ready.length > 0 && ready.every((id) => state.chosen.has(id));
  box.indeterminate = !box.checked && chosen.length > 0;
  box.disabled = !ready.length;
  setText(label.lastChild, chosen.length ? `${chosen.length} chosen` : "Choose all shown");
  removal.hidden = clear.hidden = !chosen.length;
}

function drawEmpty(all, shown) {
  let content = [];
  if (!state.loaded) content = [...Array(3)].map(() => h("div", { class: "ghost", "aria-hidden": "true" }));
  else if (!all.length && !uploads.length) content = [h("p", { class: "muted" }, "Nothing here yet. What you add stays on this stack: it is read and answered from here alone.")];
  else if (all.length && !shown.length) content = [h("p", { class: "muted" }, query ? `No name has “${query}”.` : "None of these now.")];
  const sign = `${state.loaded} ${all.length + uploads.length} ${shown.length} ${query}`;
  if (parts.empty.dataset.sign === sign) return;
  parts.empty.dataset.sign = sign;
  fill(parts.empty, content);
}

let timer;
let asked = 0;
function typed(event) {
  query = event.target.value.trim();
  draw();
  clearTimeout(timer);
  asked += 1;
  if (query.length < SEARCH_FROM) { parts.hits.replaceChildren(); return; }
  timer = setTimeout(() => searchText(asked), SEARCH_WAIT_MS);
}

function leaveSearch(event) {
  if (event.key !== "Escape" || !event.target.value) return;
  event.stopPropagation();
  event.target.value = "";
  typed(event);
}

async function searchText(number) {
  let hits;
  try {
    ({ hits } = await getJson(`/api/search?limit=8&q=${encodeURIComponent(query)}`));
  } catch {
    return; // the search by name works without it
  }
  if (number !== asked) return; // the query has changed in the meantime
  fill(parts.hits,
    h("h2", { class: "hits-title" }, hits.length ? "In the text" : "Not found in any text"),
    h("ul", { class: "rows", "aria-label": "Found in the text" }, hits.map((hit) => h("li", {},
      h("button", { type: "button", class: "hit", on: { click: () => openDocument(hit.document_id, hit.page, hit.snippet) } },
        h("span", { class: "hit-place" }, `${hit.document}, ${unit(state.documents.get(hit.document_id)?.kind ?? "pdf")} ${hit.page}`),
        h("span", { class: "hit-words" }, snippet(hit.snippet)))))));
}

function snippet(text) {
  const words = query.split(/\s+/).filter((word) => word.length > 1).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (!words.length) return text;
  return text.split(new RegExp(`(${words.join("|")})`, "gi")).map((part, index) => (index % 2 ? h("mark", {}, part) : part));
}

