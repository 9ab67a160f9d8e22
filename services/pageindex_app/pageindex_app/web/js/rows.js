// One row of the list: a document or an upload. A row is made once and then updated.
import { postJson, remove } from "./api.js";
import { coded, fill, h, icon, iconButton, setAttributes, setText } from "./dom.js";
import { ago, kindName, plural, progressText, unit } from "./format.js";
import { choose, chooseOnly, dropDocument, emit, openDocument, putDocument, state } from "./store.js";
import { confirmed, toast } from "./toast.js";
import { again, forget } from "./uploads.js";

export function documentRow(id) {
  const doc = () => state.documents.get(id);
  const box = h("input", { type: "checkbox", class: "check", on: { change: () => choose(id, box.checked) } });
  const name = h("span", { class: "row-name" });
  const facts = h("span", { class: "row-facts" });
  const bar = h("progress", { class: "bar-progress", "aria-hidden": "true" });
  const open = h("button", { type: "button", class: "row-open", on: { click: () => openDocument(id) } }, name, facts);
  const fault = h("div", { class: "row-fault" });
  const redo = iconButton("again", "", () => reindex(id), { class: "small" });
  const bin = iconButton("trash", "", () => removeWithUndo(id), { class: "small" });
  const element = h("li", { class: "row" }, box, h("span", { class: "row-icon" }), open, h("span", { class: "row-actions" }, redo, bin), bar, fault);
  let drawn = "";

  function update() {
    const now = doc();
    if (!now) return;
    const chosen = state.chosen.has(id);
    const sign = JSON.stringify([now, chosen, state.open?.id === id]);
    if (sign === drawn) return;
    drawn = sign;
    const working = now.status === "queued" || now.status === "indexing";
    element.dataset.status = now.status;
    element.classList.toggle("current", state.open?.id === id);
    setText(name, now.name);
    name.title = now.name;
    box.checked = chosen;
    box.disabled = now.status !== "ready";
    setAttributes(box, { "aria-label": `Ask ${now.name}` });
    setText(facts, factsOf(now));
    open.disabled = now.status !== "ready";
    fill(element.children[1], icon(now.status === "failed" ? "warning" : "file"));
    bar.hidden = !working;
    if (now.progress?.total > 1 && now.status === "indexing") { bar.max = now.progress.total; bar.value = now.progress.done; } else bar.removeAttribute("value");
    redo.hidden = working;
    for (const [button, verb] of [[redo, now.status === "failed" ? "Try again" : "Index again"], [bin, "Delete"]]) {
      setAttributes(button, { "aria-label": `${verb}: ${now.name}`, title: verb });
    }
    fault.hidden = now.status !== "failed";
    if (now.status === "failed") fill(fault, h("p", {}, now.error?.message ?? "Indexing failed."), now.error?.hint && h("p", { class: "muted" }, coded(now.error.hint)));
  }
  return { element, update };
}

function factsOf(doc) {
  if (doc.status === "failed") return "Could not be indexed";
  if (doc.status !== "ready") return progressText(doc);
  return [kindName(doc.kind), doc.pages && plural(doc.pages, unit(doc.kind)), ago(doc.created_at)].filter(Boolean).join(" · ");
}

export function uploadRow(entry) {
  const facts = h("span", { class: "row-facts" });
  const bar = h("progress", { class: "bar-progress", max: "1", "aria-label": `Upload of ${entry.name}` });
  const fault = h("div", { class: "row-fault" });
  const actions = h("span", { class: "row-actions shown" });
  const element = h("li", { class: "row upload" }, h("span", { class: "row-icon" }),
    h("span", { class: "row-open" }, h("span", { class: "row-name", title: entry.name }, entry.name), facts), actions, bar, fault);
  let mode = "";
  function update() {
    const now = entry.error ? "failed" : entry.stop ? "sending" : "waiting";
    bar.value = entry.share;
    const percent = Math.floor(entry.share * 100);
    setText(facts, { failed: "Not added", waiting: "Waiting to be sent", sending: entry.share >= 1 ? "Being checked" : `Uploading, ${percent} %` }[now]);
    if (now === mode) return;
    mode = now;
    element.dataset.status = now;
    fill(element.firstChild, icon(now === "failed" ? "warning" : "file"));
    bar.hidden = now === "failed";
    fault.hidden = now !== "failed";
    if (entry.error) fill(fault, h("p", {}, entry.error.message), entry.error.hint && h("p", { class: "muted" }, coded(entry.error.hint)));
    fill(actions,
      now === "failed" && iconButton("again", `Try again: ${entry.name}`, () => again(entry), { class: "small" }),
      iconButton("clear", `${now === "failed" ? "Dismiss" : "Stop"}: ${entry.name}`, () => (entry.stop ? entry.stop() : forget(entry)), { class: "small" }));
  }
  return { element, update };
}

export async function reindex(id) {
  const doc = state.documents.get(id);
  try {
    putDocument(await postJson(`/api/documents/${encodeURIComponent(id)}/reindex`));
  } catch (error) {
    toast(`${doc.name}: ${error.message} ${error.hint}`, { tone: "bad" });
  }
}

/** Remove it from the page at once, and from the service when the undo is no longer offered. */
export function removeWithUndo(id) {
  const { name } = state.documents.get(id);
  state.removing.add(id);
  if (state.open?.id === id) { state.open = null; emit("open"); }
  emit("documents", null);
  emit("chosen");
  toast(`“${name}” deleted.`, {
    action: { label: "Undo", run: () => { state.removing.delete(id); emit("documents", null); emit("chosen"); } },
    gone: () => removeNow(id, name),
  });
}

export async function removeDocuments(ids) {
  if (!ids.length) return;
  if (ids.length === 1) { removeWithUndo(ids[0]); return; }
  if (!(await confirmed(`Delete ${plural(ids.length, "document")}?`, "Their files and indexes are removed from this stack. This cannot be undone.", `Delete ${ids.length}`))) return;
  chooseOnly([]);
  for (const id of ids) await removeNow(id, state.documents.get(id)?.name ?? id);
}

async function removeNow(id, name) {
  try {
    await remove(`/api/documents/${encodeURIComponent(id)}`);
    dropDocument(id);
  } catch (error) {
    if (error.status === 404) { dropDocument(id); return; }
    state.removing.delete(id);
    emit("documents", null);
    toast(`“${name}” was not deleted. ${error.message}`, { tone: "bad" });
  }
}
