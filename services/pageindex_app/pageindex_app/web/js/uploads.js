// Uploads: files that were dropped, chosen or found in a folder. A few at a time, and one that fails stops no other.
import { upload } from "./api.js";
import { plural } from "./format.js";
import { emit, putDocument } from "./store.js";
import { toast } from "./toast.js";

export const ACCEPTED = ".pdf,.md,.markdown,.txt";
const AT_ONCE = 2;
const TRIES_MOST = 6; // of a file that came while the service was busy
const ENDINGS = ACCEPTED.split(",");
export const uploads = []; // {name, share, error, stop, file}, oldest first
let running = 0;

export function addFiles(files) {
  const fit = files.filter((file) => ENDINGS.some((ending) => file.name.toLowerCase().endsWith(ending)));
  const rest = files.length - fit.length;
  if (rest && fit.length) toast(`${plural(rest, "file")} left out: only PDF, Markdown and text are read.`);
  // All are of other kinds: they are sent, so that the service says of each why it is refused.
  for (const file of fit.length || files.length > 5 ? fit : files) uploads.push({ name: file.name, file, share: 0, error: null, stop: null });
  if (!fit.length && files.length > 5) toast(`None of the ${files.length} files is a PDF, Markdown or text.`, { tone: "bad" });
  emit("uploads");
  next();
}

function next() {
  for (const entry of uploads) {
    if (running >= AT_ONCE) return; // called again when one of them ends
    if (!entry.error && !entry.stop && !entry.pausing) start(entry);
  }
}

async function start(entry) {
  running += 1;
  const { done, stop } = upload(entry.file, (share) => { entry.share = share; emit("progress", entry); });
  entry.stop = stop;
  emit("uploads");
  try {
    const { document: doc, known } = await done;
    forget(entry);
    putDocument(doc);
    if (known) knownNames.push(doc.name);
  } catch (error) {
    entry.stop = null;
    if (error.name === "AbortError") forget(entry);
    else if (BUSY.has(error.status) && (entry.tries = (entry.tries ?? 0) + 1) < TRIES_MOST) pause(entry);
    else entry.error = { message: error.message, hint: error.hint ?? "" };
  } finally {
    running -= 1;
    emit("uploads");
    next();
    if (!running) tellKnown();
  }
}

const BUSY = new Set([429, 502, 503]);
function pause(entry) {
  entry.pausing = true;
  entry.share = 0;
  setTimeout(() => { entry.pausing = false; next(); }, 1000 * 2 ** entry.tries);
}

const knownNames = []; // told in one message for all files of a drop
function tellKnown() {
  if (knownNames.length) toast(knownNames.length === 1 ? `“${knownNames[0]}” is here already.` : `${knownNames.length} files are here already.`);
  knownNames.length = 0;
}

export function forget(entry) {
  const index = uploads.indexOf(entry);
  if (index >= 0) uploads.splice(index, 1);
  emit("uploads");
}

export function again(entry) {
  Object.assign(entry, { error: null, share: 0, tries: 0 });
  emit("uploads");
  next();
}

/** All files of a drop, those in folders as well. */
export async function droppedFiles(transfer) {
  // Entries must be taken before the first wait: the transfer is empty after it.
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const files = [];
  for (const entry of entries) if (entry) await collect(entry, files);
  return files;
}

async function collect(entry, files) {
  if (entry instanceof File) files.push(entry);
  else if (entry.isFile) files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
  else if (entry.isDirectory && !entry.name.startsWith(".")) {
    const reader = entry.createReader();
    for (;;) { // gives at most 100 at a time
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const inner of some) if (!inner.name.startsWith(".")) await collect(inner, files);
    }
  }
}

/** Let files be dropped anywhere on the page. */
export function acceptDrops() {
  let depth = 0;
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => { if (carries(event)) { depth += 1; document.body.classList.add("dropping"); } });
  addEventListener("dragleave", (event) => { if (carries(event)) { depth -= 1; if (depth <= 0) stop(); } });
  addEventListener("dragover", (event) => { if (carries(event)) { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; } });
  addEventListener("drop", async (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    stop();
    addFiles(await droppedFiles(event.dataTransfer));
  });
  function stop() { depth = 0; document.body.classList.remove("dropping"); }
}
