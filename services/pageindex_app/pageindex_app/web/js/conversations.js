// Earlier conversations: list, continue, delete.
import { getJson, postJson, remove } from "./api.js";
import { fill, h, iconButton } from "./dom.js";
import { ago, plural } from "./format.js";
import { emit, on, show, state } from "./store.js";
import { toast } from "./toast.js";

let list;
const hidden = new Set(); // ids of deleted ones, as long as the undo is offered

export function conversationsPanel() {
  list = h("div", { class: "library-scroll" });
  on("conversations", draw);
  on("conversation", draw);
  draw();
  return h("div", { class: "library-body", id: "conversations-panel", hidden: true },
    h("div", { class: "drop slim" }, h("button", { type: "button", class: "button", on: { click: () => { take(null); show("talk"); } } }, "New conversation")), list);
}

export async function loadConversations() {
  try {
    ({ conversations: state.conversations } = await getJson("/api/conversations"));
  } catch {
    return; // the list stays as it was; asking works without it
  }
  emit("conversations");
}

export async function begin() {
  const { id } = await postJson("/api/conversations");
  state.conversation = id;
  emit("conversation");
  return id;
}

export function take(id) {
  state.conversation = id;
  emit("conversation");
  emit("take", id);
}

function draw() {
  const shown = state.conversations.filter(({ id, messages }) => !hidden.has(id) && messages > 0);
  const focused = document.activeElement?.closest?.("[data-conversation]")?.dataset.conversation;
  fill(list, shown.length
    ? h("ul", { class: "rows", "aria-label": "Conversations" }, shown.map(row))
    : h("p", { class: "muted library-empty" }, "Questions and answers are kept here, for your key only, until you delete them."));
  if (focused) list.querySelector(`[data-conversation="${CSS.escape(focused)}"] button`)?.focus();
}

function row(conversation) {
  const { id, title, updated_at: updated, messages } = conversation;
  const here = id === state.conversation;
  const name = title || "Untitled";
  return h("li", { class: `row conversation${here ? " current" : ""}`, "data-conversation": id },
    h("button", { type: "button", class: "row-open", "aria-current": here ? "true" : null, on: { click: () => { take(id); show("talk"); } } },
      h("span", { class: "row-name", title: name }, name),
      h("span", { class: "row-facts" }, `${plural(Math.ceil(messages / 2), "question")} · ${ago(updated)}`)),
    h("span", { class: "row-actions" }, iconButton("trash", `Delete: ${name}`, () => removeWithUndo(id, name), { class: "small" })));
}

function removeWithUndo(id, name) {
  hidden.add(id);
  if (state.conversation === id) take(null);
  draw();
  toast(`“${name}” deleted.`, {
    action: { label: "Undo", run: () => { hidden.delete(id); draw(); } },
    gone: async () => {
      try {
        await remove(`/api/conversations/${encodeURIComponent(id)}`);
      } catch (error) {
        if (error.status !== 404) toast(`“${name}” was not deleted. ${error.message}`, { tone: "bad" });
      }
      hidden.delete(id);
      loadConversations();
    },
  });
}

/** When the page is left: delete those for which an undo is still offered. */
export function finishConversationRemovals() {
  for (const id of hidden) remove(`/api/conversations/${encodeURIComponent(id)}`, { keepalive: true }).catch(() => {});
}
