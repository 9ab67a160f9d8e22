// Asking: the conversation, and the field for the next question below it.
import { ApiError, events, getJson, request } from "./api.js";
import { Turn } from "./answer.js";
import { begin, loadConversations, take } from "./conversations.js";
import { announce, fill, h, icon, iconButton, setText } from "./dom.js";
import { plural } from "./format.js";
import { asked, chooseOnly, emit, on, readyDocuments, show, state, visibleDocuments } from "./store.js";

let parts;
let running = null; // AbortController of the answer that is being made
let sendOnceLoaded = false; // a question was sent before the list of documents had come
let shown = null; // id of the conversation on the page

export function talkPanel(root) {
  const field = h("textarea", { id: "question", rows: "1", maxlength: document.body.dataset.questionChars, "aria-label": "Your question", placeholder: "Ask your documents", enterkeyhint: "send", on: { input: grow, keydown: typed } });
  parts = {
    field,
    turns: h("ol", { class: "turns", "aria-label": "Conversation" }),
    welcome: h("div", { class: "welcome" }),
    scroll: h("div", { class: "talk-scroll", tabindex: "0", role: "group", "aria-label": "Conversation so far" }),
    title: h("h1", { class: "talk-title" }),
    fresh: h("button", { type: "button", class: "button quiet", on: { click: () => { take(null); field.focus(); } } }, icon("add"), "New"),
    scope: h("div", { class: "scope" }),
    send: iconButton("send", "Send the question", () => (running ? running.abort() : send()), { class: "send", id: "send" }),
  };
  fill(parts.scroll, parts.welcome, parts.turns);
  fill(root,
    h("div", { class: "talk-head" }, parts.title, parts.fresh),
    parts.scroll,
    h("form", { class: "composer", on: { submit: (event) => { event.preventDefault(); send(); } } },
      parts.scope, h("div", { class: "composer-box" }, field, parts.send)));
  for (const topic of ["documents", "chosen", "readiness"]) on(topic, drawScope);
  on("documents", drawWelcome);
  on("documents", () => { if (sendOnceLoaded && state.loaded) { sendOnceLoaded = false; send(); } });
  on("conversations", drawTitle);
  on("take", (id) => (id === null ? clear() : load(id)));
  drawScope();
  drawWelcome();
  drawTitle();
}

function typed(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
}

/** Escape stops a running answer before it closes anything. Returns whether there was one. */
export function stopAnswer() {
  if (!running) return false;
  running.abort();
  return true;
}

function grow() {
  parts.field.style.height = "auto";
  parts.field.style.height = `${Math.min(parts.field.scrollHeight, 200)}px`;
}

async function send() {
  const question = parts.field.value.trim();
  if (!question || running) { parts.field.focus(); return; }
  if (!state.loaded) { sendOnceLoaded = true; return; } // sent when it is known which documents there are
  if (!readyDocuments().length) {
    announce("There is no document to ask yet.");
    parts.scope.classList.remove("nudge");
    requestAnimationFrame(() => parts.scope.classList.add("nudge"));
    return;
  }
  parts.field.value = "";
  grow();
  if (matchMedia("(hover: none)").matches) parts.field.blur(); // the keyboard would cover the answer
  await ask(question);
}

async function ask(question, again = null) {
  if (running) return;
  const control = new AbortController();
  running = control;
  drawSend();
  const turn = new Turn(question, ask);
  if (again) again.element.replaceWith(turn.element);
  else parts.turns.append(turn.element);
  drawWelcome();
  turn.stage("choosing_sections", {});
  drawTitle();
  scrollTo(turn.element);
  announce("Question sent.");
  try {
    const documents = asked();
    const id = state.conversation ?? (await begin());
    shown = id;
    const response = await request("POST", "/api/ask", {
      accept: "text/event-stream", signal: control.signal,
      json: { question, conversation_id: id, ...(documents ? { document_ids: documents } : {}) },
    });
    const answer = await follow(response, turn, control.signal);
    turn.finish(answer);
    announce(`Answer: ${answer.answer} ${plural(answer.citations.length, "citation")}.`);
  } catch (error) {
    if (control.signal.aborted) {
      turn.stopped();
      announce("Stopped.");
    } else {
      turn.failed(error instanceof ApiError ? error : new ApiError(0, "broken", "The answer broke off.", "Ask again."));
      if (!(error instanceof ApiError) || error.passes) emit("doubt");
      if (error.code === "conversation_not_found") state.conversation = null; // deleted in another tab
    }
  } finally {
    running = null;
    drawSend();
    settle();
    loadConversations();
  }
}

async function follow(response, turn, signal) {
  let answer = null;
  for await (const { event, data } of events(response)) {
    if (signal.aborted) break;
    if (event === "stage") {
      const { stage, ...detail } = data;
      turn.stage(stage, detail);
      setStatus(turn);
    } else if (event === "token") turn.token(data.text);
    else if (event === "answer") answer = data;
    else if (event === "error") throw new ApiError(data.error.code === "model_unavailable" ? 503 : 500, data.error.code, data.error.message, data.error.code === "model_unavailable" ? "Ask again when the note at the top is gone." : data.error.hint);
    settle();
  }
  if (!answer) throw new ApiError(0, "broken", "The answer broke off.", "Ask again.");
  return answer;
}

function setStatus(turn) {
  announce(turn.stages.querySelector('[data-state="now"]')?.textContent ?? "");
}

function scrollTo(element) {
  element.scrollIntoView({ block: "start" });
}

/** Follow growing words, but never pull back someone who scrolled up. */
function settle() {
  const { scroll } = parts;
  if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 240) scroll.scrollTop = scroll.scrollHeight;
}

function clear() {
  running?.abort();
  shown = null;
  parts.turns.replaceChildren();
  drawWelcome();
  drawTitle();
}

/** Show a kept conversation, to continue it. */
export async function load(id) {
  if (id === shown) return;
  running?.abort();
  shown = id;
  parts.turns.replaceChildren();
  drawTitle();
  try {
    const { messages } = await getJson(`/api/conversations/${encodeURIComponent(id)}`);
    if (shown !== id) return;
    let turn = null;
    for (const message of messages) {
      if (message.role === "user") {
        turn = new Turn(message.content, ask);
        parts.turns.append(turn.element);
      } else if (turn) turn.finish(message.answer ?? { answer: message.content, support: "none", citations: [], dropped_citations: 0 });
    }
    drawTitle();
    parts.turns.lastElementChild?.scrollIntoView({ block: "start" });
  } catch (error) {
    if (error.status === 404) { take(null); return; }
    fill(parts.turns, h("li", { class: "turn" }, h("div", { class: "fault-box", role: "alert" }, icon("warning"), h("p", {}, h("strong", {}, error.message), " ", error.hint ?? ""))));
    shown = null;
  }
  drawWelcome();
}

function drawSend() {
  const label = running ? "Stop the answer" : "Send the question";
  fill(parts.send, icon(running ? "stop" : "send"));
  parts.send.setAttribute("aria-label", label);
  parts.send.title = running ? "Stop (Escape)" : "Send (Enter)";
  parts.send.classList.toggle("stop", Boolean(running));
}

function drawTitle() {
  const title = state.conversations.find(({ id }) => id === shown)?.title;
  setText(parts.title, (shown && title) || "Ask");
  // One question is its conversation's title, and stands right below: then the title is for screen readers only.
  parts.title.classList.toggle("unseen", Boolean(shown) && parts.turns.children.length < 2);
  parts.fresh.hidden = !shown;
}

function drawScope() {
  const ids = asked();
  const ready = readyDocuments().length;
  const waiting = visibleDocuments().filter((doc) => doc.status === "queued" || doc.status === "indexing").length;
  if (!state.loaded) { parts.scope.replaceChildren(); return; }
  if (!ready) {
    fill(parts.scope, h("span", { class: "muted" }, waiting ? "The first document is being indexed; then you can ask." : "Add a document first; then you can ask."));
    return;
  }
  if (ids) {
    const names = ids.map((id) => state.documents.get(id).name);
    fill(parts.scope, h("span", {}, "Asking "), h("span", { class: "scope-chip" }, h("span", { class: "scope-name", title: names.join("\n") }, ids.length === 1 ? names[0] : plural(ids.length, "document")), iconButton("clear", "Ask all documents again", () => chooseOnly([]), { class: "tiny" })));
    return;
  }
  fill(parts.scope, h("span", { class: "muted" }, ready === 1 ? "Asking the one document here" : `Asking all ${ready} documents`),
    ready > 1 && h("button", { type: "button", class: "link narrow-only", on: { click: () => show("library") } }, "Choose"));
}

function drawWelcome() {
  const empty = !parts.turns.children.length && !shown;
  parts.welcome.hidden = !empty;
  if (!empty || !state.loaded) return;
  const any = visibleDocuments().length > 0;
  const sign = String(any);
  if (parts.welcome.dataset.sign === sign) return;
  parts.welcome.dataset.sign = sign;
  fill(parts.welcome,
    h("h2", {}, any ? "What do you want to know?" : "Ask your documents"),
    h("p", { class: "lead" }, "Every answer names the page it rests on, and quotes it."),
    h("ol", { class: "steps" },
      step("file", "Add documents", any ? "Drop more at any time; what is being indexed joins when it is ready." : "Drop PDF, Markdown or text anywhere on this page, or choose files."),
      step("ask", "Ask in plain words", "All documents are asked, unless you choose some in the list."),
      step("check", "Check the answer", "A citation opens its page with the quoted words marked.")),
    !any && h("p", { class: "narrow-only" }, h("button", { type: "button", class: "button primary", on: { click: () => show("library") } }, icon("add"), "Add documents")),
    h("p", { class: "keys muted" }, h("kbd", {}, "Enter"), " sends ", h("kbd", {}, "Shift"), "+", h("kbd", {}, "Enter"), " new line ", h("kbd", {}, "/"), " finds ", h("kbd", {}, "Esc"), " stops or closes"));
}

function step(name, title, text) {
  return h("li", {}, h("span", { class: "step-icon" }, icon(name)), h("div", {}, h("strong", {}, title), h("p", { class: "muted" }, text)));
}
