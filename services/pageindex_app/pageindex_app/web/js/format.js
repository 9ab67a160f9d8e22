// Words and numbers as people read them.

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

export function size(bytes) {
  if (bytes < 1000) return plural(bytes, "byte");
  const units = ["kB", "MB", "GB"];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Markdown has no pages: each chapter counts as one. */
export function unit(kind) {
  return kind === "pdf" ? "page" : "chapter";
}

export function kindName(kind) {
  return { pdf: "PDF", markdown: "Markdown", text: "Text" }[kind] ?? kind;
}

export function pageRange(first, last) {
  return last > first ? `${first}–${last}` : `${first}`;
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [86400 * 30, "day", 86400], [Infinity, "month", 86400 * 30]];

export function ago(time) {
  const seconds = (Date.now() - new Date(time).getTime()) / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 45) return "just now";
  const [, name, length] = STEPS.find(([limit]) => seconds < limit);
  return RELATIVE.format(-Math.max(1, Math.round(seconds / length)), name);
}

const STAGES = { queued: "Waiting for its turn", reading: "Reading the file", tree: "Finding its sections", outline: "Finding its sections", summaries: "Summarising sections", summarising: "Summarising sections", summarizing: "Summarising sections", saving: "Saving", ocr: "Reading scanned pages" };

/** What the indexing of a document is doing. */
export function progressText(doc) {
  if (doc.status === "queued") return STAGES.queued;
  const progress = doc.progress;
  if (!progress) return "Indexing";
  const stage = STAGES[progress.stage] ?? sentence(progress.stage);
  return progress.total > 1 ? `${stage}: ${Math.min(progress.done, progress.total)} of ${progress.total}` : stage;
}

function sentence(words) {
  const text = String(words || "indexing").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
