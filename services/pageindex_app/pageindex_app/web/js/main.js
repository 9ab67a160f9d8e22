// Puts the page together, and keeps its place in the address: which document, page and conversation.
import { key } from "./api.js";
import { conversationsPanel, finishConversationRemovals, loadConversations, take } from "./conversations.js";
import { finishRemovals, follow, loadDocuments } from "./document_events.js";
import { fill, h, icon, iconButton, setText } from "./dom.js";
import { focusSearch, libraryPanel } from "./library.js";
import { close, readerPanel } from "./reader.js";
import { watchReadiness } from "./readiness.js";
import { signIn, signOut } from "./sign_in.js";
import { closeDocument, emit, on, openDocument, show, state } from "./store.js";
import { stopAnswer, talkPanel } from "./talk.js";
import { themeButton } from "./theme.js";
import { acceptDrops } from "./uploads.js";

const byId = (id) => document.getElementById(id);

function drawBar() {
  fill(byId("bar-end"),
    h("a", { class: "bar-link", href: new URL("../api.html", import.meta.url).pathname }, "API"),
    themeButton(),
    key.get() && iconButton("leave", "Log out", () => signOut(), { id: "leave" }));
  const views = { library: "Documents", talk: "Ask" };
  fill(byId("views"), Object.entries(views).map(([view, name]) => h("button", { type: "button", "data-to": view, on: { click: () => { if (state.open) closeDocument(); show(view); } } }, name)));
  const mark = () => { for (const button of byId("views").children) button.setAttribute("aria-current", String(button.dataset.to === document.body.dataset.view)); };
  on("view", mark);
  mark();
}

function drawLibrary() {
  const panels = { documents: libraryPanel(), conversations: conversationsPanel() };
  const tabs = Object.entries({ documents: "Documents", conversations: "Conversations" }).map(([name, title]) => h("button", {
    type: "button", role: "tab", id: `${name}-tab`, "aria-controls": `${name}-panel`, "aria-selected": String(name === "documents"), tabindex: name === "documents" ? "0" : "-1", on: { click: () => select(name) },
  }, h("span", {}, title), h("span", { class: "count", "aria-hidden": "true" })));
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Library", on: { keydown: (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs.find((tab) => tab.getAttribute("aria-selected") === "false");
    other.click();
    other.focus();
  } } }, tabs);
  function select(name) {
    for (const tab of tabs) {
      const here = tab.id === `${name}-tab`;
      tab.setAttribute("aria-selected", String(here));
      tab.tabIndex = here ? 0 : -1;
    }
    for (const [other, panel] of Object.entries(panels)) panel.hidden = other !== name;
  }
  for (const [name, panel] of Object.entries(panels)) { panel.setAttribute("role", "tabpanel"); panel.setAttribute("aria-labelledby", `${name}-tab`); }
  const count = (tab, number) => setText(tab.lastChild, number ? String(number) : "");
  on("counted", ({ documents }) => count(tabs[0], documents));
  on("conversations", () => count(tabs[1], state.conversations.filter(({ messages }) => messages > 0).length));
  fill(byId("library"), list, panels.documents, panels.conversations);
}

/** Where the page is, so that a reload or the browser's back button comes to the same place. The key is never part of it. */
function keepPlace() {
  let restoring = false;
  const write = (push) => {
    if (restoring) return;
    const place = new URLSearchParams();
    if (state.conversation) place.set("c", state.conversation);
    if (state.open) { place.set("d", state.open.id); place.set("p", state.open.page); }
    const hash = place.size ? `#${place}` : location.pathname;
    if (hash !== (location.hash || location.pathname)) history[push ? "pushState" : "replaceState"](null, "", hash);
  };
  on("open", () => write(true));
  on("conversation", () => write(true));
  addEventListener("placechange", () => write(false));
  const restore = () => {
    restoring = true;
    const place = new URLSearchParams(location.hash.slice(1));
    const conversation = place.get("c");
    if (conversation !== state.conversation) take(conversation);
    const id = place.get("d");
    if (id && state.documents.get(id)?.status === "ready") {
      if (id !== state.open?.id || Number(place.get("p")) !== state.open.page) openDocument(id, Number(place.get("p")) || 1);
    } else if (state.open) close();
    restoring = false;
  };
  addEventListener("popstate", restore);
  return restore;
}

function keys(event) {
  if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const typing = event.target.closest?.("input:not([type=checkbox],[type=radio]), textarea");
  if (event.key === "Escape") {
    if (!stopAnswer() && state.open) close();
  } else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    show("library");
    byId("documents-tab").click();
    focusSearch();
  }
}

async function start() {
  // A file that is dropped anywhere must not replace the page, not even while the key is asked for.
  for (const type of ["dragover", "drop"]) addEventListener(type, (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
  sessionStorage.removeItem("pageindex-loads"); // all scripts have loaded: see first.js
  fill(byId("bar-end"), themeButton());
  await signIn();
  drawBar();
  drawLibrary();
  talkPanel(byId("talk"));
  readerPanel(byId("reader"));
  acceptDrops();
  document.querySelector(".skip").addEventListener("click", (event) => { // the address's fragment holds the page's place, so an anchor cannot be there
    event.preventDefault();
    if (document.body.dataset.view !== "talk" && byId("question").offsetParent === null) { closeDocument(); show("talk"); }
    byId("question").focus();
  });
  document.addEventListener("keydown", keys);
  addEventListener("pagehide", () => { finishRemovals(); finishConversationRemovals(); });
  watchReadiness();
  const restore = keepPlace();
  await Promise.allSettled([loadDocuments(), loadConversations()]);
  restore();
  if (!state.documents.size) show("library");
  if (matchMedia("(hover: hover)").matches && !state.open) byId("question").focus({ preventScroll: true });
  document.body.append(h("div", { class: "drop-veil", "aria-hidden": "true" }, h("div", {}, icon("add"), h("strong", {}, "Drop to add"), h("span", {}, "PDF, Markdown, text, or a folder of them"))));
  emit("started");
  await follow();
}

start();
