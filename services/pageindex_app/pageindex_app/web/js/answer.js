// One question and its answer: stages while it is made, then its words, its support and its citations.
import { fill, h, icon, iconButton, setText } from "./dom.js";
import { plural, unit } from "./format.js";
import { markdown } from "./markdown.js";
import { openDocument, state } from "./store.js";
import { toast } from "./toast.js";

const STAGES = { choosing_sections: "Choosing sections", reading_pages: "Reading pages", answering: "Answering" };

const SUPPORT = {
  supported: ["check", "Supported", "Its words stand on the cited page. Words were compared, not their sense."],
  quoted: ["quote", "Quoted", "The model's own words were not borne out, so this is the best matching passage, word for word."],
  none: ["none", "No support found", "Nothing in the documents bears an answer out. Try the documents' own words, or choose fewer documents."],
};

export class Turn {
  constructor(question, retry) {
    this.retry = retry;
    this.text = "";
    this.stages = h("ol", { class: "stages", "aria-label": "Progress" });
    this.prose = h("div", { class: "prose" });
    this.foot = h("div", { class: "answer-foot" });
    this.question = question;
    this.element = h("li", { class: "turn" }, h("h2", { class: "question" }, question), h("div", { class: "answer" }, this.stages, this.prose, this.foot));
  }

  stage(name, detail) {
    for (const item of this.stages.children) item.dataset.state = "done";
    let item = this.stages.querySelector(`[data-stage="${CSS.escape(name)}"]`);
    if (!item) {
      item = h("li", { "data-stage": name }, h("span", { class: "stage-mark" }), h("span", { class: "stage-name" }));
      this.stages.append(item);
    }
    item.dataset.state = "now";
    setText(item.lastChild, stageText(name, detail));
    if (name === "answering") { this.text = ""; this.write(); }
  }

  token(text) {
    this.text += text;
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; if (!this.ended) this.write(); });
  }

  write() {
    fill(this.prose, markdown(this.text));
    this.prose.classList.toggle("writing", Boolean(this.text) && !this.ended);
  }

  /** Show the checked answer; the words that were streamed may differ from it. */
  finish(answer) {
    this.end(answer.answer);
    this.element.dataset.support = answer.support;
    const [sign, name, meaning] = SUPPORT[answer.support] ?? SUPPORT.none;
    fill(this.foot,
      h("p", { class: `support ${answer.support}` }, icon(sign), h("strong", {}, name), h("span", { class: "muted" }, meaning)),
      answer.citations.length > 0 && h("ul", { class: "citations", "aria-label": "Citations" }, answer.citations.map(citation)),
      answer.dropped_citations > 0 && h("p", { class: "muted small" }, `${plural(answer.dropped_citations, "citation")} dropped: the quoted words are not on the page.`),
      h("div", { class: "answer-actions" },
        iconButton("copy", "Copy the answer", () => copy(answer), { class: "small" }),
        iconButton("again", "Ask this again", () => this.retry(this.question), { class: "small" })));
  }

  stopped() {
    this.end(this.text);
    fill(this.foot, h("p", { class: "support none" }, icon("stop"), h("strong", {}, "Stopped"), h("span", { class: "muted" }, this.text ? "This is what came until then; nothing of it was checked." : "")), this.retryButton());
  }

  failed(error) {
    this.end(this.text);
    fill(this.foot,
      h("div", { class: "fault-box", role: "alert" }, icon("warning"), h("p", {}, h("strong", {}, error.message), " ", error.hint ?? "")),
      this.retryButton());
  }

  retryButton() {
    return h("button", { type: "button", class: "button", on: { click: () => this.retry(this.question, this) } }, icon("again"), "Ask again");
  }

  end(text) {
    this.ended = true;
    this.text = text;
    this.write();
    this.stages.remove();
  }
}

function stageText(name, detail) {
  const base = STAGES[name] ?? name.replaceAll("_", " ");
  if (name === "choosing_sections" && detail.documents > 1) return `${base} in ${plural(detail.documents, "document")}`;
  if (name === "reading_pages" && Array.isArray(detail.pages) && detail.pages.length) return `${base}: ${plural(detail.pages.length, "page")}`;
  return base;
}

function citation(cited, index) {
  const doc = state.documents.get(cited.document_id);
  const word = unit(doc?.kind ?? "pdf");
  const pages = cited.pages.length > 1 ? `${word}s ${cited.pages.join(", ")}` : `${word} ${cited.pages[0]}`;
  const gone = state.loaded && !doc;
  return h("li", {},
    h("button", { type: "button", class: "citation", disabled: gone, title: gone ? "This document was deleted" : null, on: { click: () => openDocument(cited.document_id, cited.pages[0], cited.quote) } },
      h("span", { class: "citation-number", "aria-hidden": "true" }, String(index + 1)),
      h("span", { class: "citation-place" }, h("span", { class: "citation-document" }, cited.document), h("span", { class: "citation-pages" }, pages)),
      cited.section.length > 0 && h("span", { class: "citation-section" }, cited.section.join(" › ")),
      h("q", { class: "citation-quote" }, cited.quote)));
}

async function copy(answer) {
  const sources = answer.citations.map((cited, index) => `[${index + 1}] ${cited.document}, p. ${cited.pages.join(", ")}: “${cited.quote}”`);
  try {
    await navigator.clipboard.writeText([answer.answer, ...sources].join("\n\n"));
    toast("Answer and citations copied.");
  } catch {
    toast("The browser allows no copying here. Select the text instead.", { tone: "bad" });
  }
}
