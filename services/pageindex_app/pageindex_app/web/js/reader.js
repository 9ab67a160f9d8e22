// The reader: a document's tree beside its pages.
import { getBlob, getJson } from "./api.js";
import { announce, fill, h, icon, iconButton, setText } from "./dom.js";
import { kindName, plural, size, unit } from "./format.js";
import { drawPicture, drawText, picture } from "./page_view.js";
import { chooseOnly, closeDocument, on, show, state } from "./store.js";
import { toast } from "./toast.js";
import { Tree, treeNote } from "./tree.js";

let parts;
let showing = null; // id of the document whose tree is drawn
let mode = "picture"; // or "text", kept from document to document
let turn = 0; // counts page turns, so that a late answer never replaces a newer one
let before = null; // the element that had the focus when the reader opened

export function readerPanel(root) {
  const tree = new Tree((page) => go(page));
  const number = h("input", { type: "number", class: "page-number", min: "1", inputmode: "numeric", "aria-label": "Page", on: { change: () => go(Number(number.value)), keydown: (event) => { if (event.key === "Enter") go(Number(number.value)); } } });
  parts = {
    root, tree, number,
    name: h("h2", { class: "reader-name", tabindex: "-1" }),
    facts: h("p", { class: "reader-facts muted" }),
    about: h("p", { class: "reader-about" }),
    note: h("p", { class: "muted tree-note" }),
    of: h("span", { class: "muted" }),
    back: iconButton("back", "Previous page", () => go(state.open.page - 1)),
    forth: iconButton("chevron", "Next page", () => go(state.open.page + 1)),
    modes: h("div", { class: "segments", role: "group", "aria-label": "Show the page as" },
      ["picture", "text"].map((name) => h("button", { type: "button", "data-mode": name, on: { click: () => { mode = name; drawPage(); } } }, name === "picture" ? "Page" : "Text"))),
    quote: h("div", { class: "quote-bar", hidden: true }),
    frame: h("div", { class: "page-frame", tabindex: "0", role: "group", "aria-label": "Page", on: { keydown: keys } }),
    sections: h("button", { type: "button", class: "button quiet sections-toggle", "aria-expanded": "false", on: { click: toggleSections } }, icon("tree"), "Sections"),
  };
  fill(root,
    h("div", { class: "reader-head" },
      iconButton("clear", "Close the document", close, { id: "close-reader" }),
      h("div", { class: "reader-title" }, parts.name, parts.facts),
      h("button", { type: "button", class: "button quiet", "aria-label": "Ask this document", title: "Ask this document", on: { click: askThis } }, icon("ask"), h("span", {}, "Ask this")),
      iconButton("download", "Download the original", download)),
    h("div", { class: "reader-body" },
      h("div", { class: "reader-tree" }, parts.about, parts.note, tree.element),
      h("div", { class: "reader-page" },
        h("div", { class: "page-bar" }, parts.sections, h("div", { class: "page-turn" }, parts.back, number, parts.of, parts.forth), parts.modes),
        parts.quote, parts.frame)));
  on("open", draw);
  on("documents", (doc) => { if (doc && doc.id === showing && doc.status === "ready") { showing = null; draw(); } });
}

export function close() {
  closeDocument();
}

function toggleSections() {
  const shown = parts.root.classList.toggle("with-sections");
  parts.sections.setAttribute("aria-expanded", String(shown));
}

function draw() {
  if (state.open && !state.documents.has(state.open.id)) state.open = null; // deleted by someone else
  const { open } = state;
  const wasOpen = !parts.root.hidden;
  parts.root.hidden = !open;
  document.body.classList.toggle("reading", Boolean(open));
  if (!open) {
    showing = null;
    turn += 1;
    if (wasOpen && document.body.dataset.view === "reader") show(parts.from ?? "talk");
    if (wasOpen && before?.isConnected) before.focus({ preventScroll: true });
    return;
  }
  const doc = state.documents.get(open.id);
  if (!wasOpen) before = document.activeElement;
  if (document.body.dataset.view !== "reader") { parts.from = document.body.dataset.view; show("reader"); }
  if (showing !== open.id) {
    showing = open.id;
    setText(parts.name, doc.name);
    parts.name.title = doc.name;
    setText(parts.facts, [kindName(doc.kind), plural(doc.pages ?? 0, unit(doc.kind)), size(doc.size_bytes)].join(" · "));
    treeNote(parts.about, doc.description ?? "");
    drawTree(doc);
  }
  parts.root.classList.remove("with-sections");
  parts.sections.setAttribute("aria-expanded", "false");
  drawPage();
  parts.name.focus({ preventScroll: true });
}

async function drawTree(doc) {
  const { tree, note } = parts;
  tree.chosen = null;
  tree.show([]);
  treeNote(note, "Reading its sections …");
  try {
    const answer = await getJson(`/api/documents/${encodeURIComponent(doc.id)}/tree`);
    if (showing !== doc.id) return;
    tree.show(answer.tree);
    tree.mark(state.open.page);
    treeNote(note, answer.tree.length ? "" : "No sections were found.");
  } catch (error) {
    if (showing === doc.id) treeNote(note, `The sections cannot be shown. ${error.message}`);
  }
}

/** Turn to a page, within the document. */
function go(page) {
  const open = state.open;
  const doc = open && state.documents.get(open.id);
  if (!doc) return;
  const last = doc.pages ?? 1;
  const wanted = Math.min(Math.max(Number.isFinite(page) ? Math.round(page) : 1, 1), last);
  if (wanted !== open.page) {
    state.open = { ...open, page: wanted };
    announce(`${unit(doc.kind)} ${wanted} of ${last}`);
    drawPage();
  } else parts.number.value = String(wanted);
  parts.root.classList.remove("with-sections");
  parts.sections.setAttribute("aria-expanded", "false");
}

async function drawPage() {
  const { id, page, quote, quotePage = page } = state.open;
  state.open.quotePage = quotePage;
  const doc = state.documents.get(id);
  const mine = ++turn;
  const current = () => mine === turn;
  const last = doc.pages ?? 1;
  const word = unit(doc.kind);
  parts.number.value = String(page);
  parts.number.max = String(last);
  parts.number.setAttribute("aria-label", word === "page" ? "Page" : "Chapter");
  setText(parts.of, `of ${last}`);
  parts.back.disabled = page <= 1;
  parts.forth.disabled = page >= last;
  for (const [button, way] of [[parts.back, "Previous"], [parts.forth, "Next"]]) {
    button.setAttribute("aria-label", `${way} ${word}`);
    button.title = `${way} ${word}`;
  }
  parts.modes.hidden = doc.kind !== "pdf";
  const how = doc.kind === "pdf" ? mode : "text";
  for (const button of parts.modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === how));
  parts.tree.mark(page);
  dispatchEvent(new CustomEvent("placechange"));
  const here = quote && page === quotePage ? quote : "";
  drawQuote(quote, quotePage, page, word);
  parts.frame.setAttribute("aria-busy", "true");
  parts.frame.dataset.marked = "";
  try {
    const marked = await (how === "picture" ? drawPicture : drawText)(parts.frame, doc, page, here, current);
    if (!current()) return;
    parts.frame.dataset.marked = String(marked);
    if (how === "picture" && page < last) picture(id, page + 1, parts.frame.clientWidth).catch(() => {});
  } catch (error) {
    if (!current()) return;
    if (how === "picture" && error.status !== 401) { // no picture: its text is better than nothing
      try {
        parts.frame.dataset.marked = String(await drawText(parts.frame, doc, page, here, current));
        return;
      } catch { /* said below */ }
    }
    fill(parts.frame, h("div", { class: "fault-box", role: "alert" }, icon("warning"), h("p", {}, h("strong", {}, error.message), " ", error.hint ?? "")));
  } finally {
    if (current()) parts.frame.removeAttribute("aria-busy");
  }
}

function drawQuote(quote, quotePage, page, word) {
  parts.quote.hidden = !quote;
  if (!quote) return;
  fill(parts.quote, icon("quote"),
    h("div", { class: "quote-words" }, h("span", { class: "quote-label" }, page === quotePage ? `Quoted from this ${word}` : h("button", { type: "button", class: "link", on: { click: () => go(quotePage) } }, `Back to the quote on ${word} ${quotePage}`)), h("q", {}, quote)),
    iconButton("clear", "Hide the quote", () => { state.open = { id: state.open.id, page: state.open.page, quote: "" }; drawPage(); parts.frame.focus(); }, { class: "small" }));
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const doc = state.documents.get(state.open.id);
  const target = { ArrowLeft: state.open.page - 1, PageUp: state.open.page - 1, ArrowRight: state.open.page + 1, PageDown: state.open.page + 1, Home: 1, End: doc.pages }[event.key];
  if (target === undefined) return;
  event.preventDefault();
  go(target);
}

function askThis() {
  chooseOnly([state.open.id]);
  if (!matchMedia("(min-width: 1000px)").matches) { // there is room for the tree or the page only
    closeDocument();
    show("talk");
  }
  document.getElementById("question").focus();
}

async function download() {
  const doc = state.documents.get(state.open.id);
  try {
    const url = URL.createObjectURL(await getBlob(`/api/documents/${encodeURIComponent(doc.id)}/file`));
    h("a", { href: url, download: doc.name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    toast(`${error.message} ${error.hint}`, { tone: "bad" });
  }
}
