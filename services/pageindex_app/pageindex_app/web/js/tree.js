// PageIndex's tree of a document, which can be walked with the keyboard.
import { fill, h, icon, setText } from "./dom.js";
import { pageRange } from "./format.js";

export class Tree {
  /** `open(page)` is called when a section is chosen. */
  constructor(open) {
    this.open = open;
    this.element = h("ul", { class: "tree", role: "tree", "aria-label": "Sections", on: { keydown: (event) => this.key(event), click: (event) => this.click(event) } });
  }

  show(nodes) {
    fill(this.element, nodes.map((node) => this.item(node, 1)));
    this.items()[0]?.setAttribute("tabindex", "0");
  }

  item(node, level) {
    const children = node.nodes ?? [];
    const first = node.start_index ?? 1;
    const last = node.end_index ?? first;
    const row = h("div", { class: "tree-row" },
      h("span", { class: "tree-toggle" }, children.length > 0 && icon("chevron")),
      h("span", { class: "tree-title" }, node.title || "Untitled"),
      h("span", { class: "tree-pages" }, pageRange(first, last)));
    const summary = node.summary ?? node.prefix_summary ?? "";
    return h("li", { role: "treeitem", tabindex: "-1", class: "tree-item", "data-level": level, "aria-level": level, "aria-selected": "false", "aria-label": `${node.title}, ${pageRange(first, last)}`, "aria-expanded": children.length ? String(level < 3) : null, "data-first": first, "data-last": last },
      row,
      summary && h("p", { class: "tree-summary" }, summary),
      children.length > 0 && h("ul", { role: "group" }, children.map((child) => this.item(child, level + 1))));
  }

  items() {
    return [...this.element.querySelectorAll('[role="treeitem"]')].filter((item) => !item.parentElement.closest('[aria-expanded="false"]'));
  }

  /** Mark the innermost section that holds the page. */
  mark(page) {
    let best = null;
    for (const item of this.element.querySelectorAll('[role="treeitem"]')) {
      const [first, last] = [Number(item.dataset.first), Number(item.dataset.last)];
      const closer = !best || Number(item.dataset.level) > Number(best.dataset.level) || last - first < Number(best.dataset.last) - Number(best.dataset.first);
      if (first <= page && page <= last && (closer && (!best || best.contains(item) || first >= Number(best.dataset.first)))) best = item;
    }
    // A section that was chosen keeps the mark as long as it holds the page.
    const kept = this.chosen && Number(this.chosen.dataset.first) <= page && page <= Number(this.chosen.dataset.last) ? this.chosen : best;
    for (const item of this.element.querySelectorAll('[aria-selected="true"]')) if (item !== kept) item.setAttribute("aria-selected", "false");
    if (!kept) return;
    kept.setAttribute("aria-selected", "true");
    for (let above = kept.parentElement.closest('[role="treeitem"]'); above; above = above.parentElement.closest('[role="treeitem"]')) above.setAttribute("aria-expanded", "true");
    if (!this.element.contains(document.activeElement)) this.focusable(kept);
    const scroll = this.element.parentElement;
    const row = kept.firstElementChild.getBoundingClientRect();
    const frame = scroll.getBoundingClientRect();
    if (row.top < frame.top || row.bottom > frame.bottom) scroll.scrollTop += row.top - frame.top - frame.height / 3;
  }

  focusable(item) {
    for (const other of this.element.querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    item.setAttribute("tabindex", "0");
  }

  click(event) {
    const item = event.target.closest('[role="treeitem"]');
    if (!item) return;
    if (event.target.closest(".tree-toggle") && item.hasAttribute("aria-expanded")) this.toggle(item);
    else this.choose(item);
    this.focusable(item);
    item.focus({ preventScroll: true });
  }

  choose(item) {
    this.chosen = item;
    this.open(Number(item.dataset.first));
  }

  toggle(item, open = item.getAttribute("aria-expanded") !== "true") {
    item.setAttribute("aria-expanded", String(open));
  }

  key(event) {
    const item = event.target.closest('[role="treeitem"]');
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const items = this.items();
    const at = items.indexOf(item);
    const expanded = item.getAttribute("aria-expanded");
    let next = null;
    switch (event.key) {
      case "ArrowDown": next = items[at + 1]; break;
      case "ArrowUp": next = items[at - 1]; break;
      case "Home": next = items[0]; break;
      case "End": next = items.at(-1); break;
      case "ArrowRight":
        if (expanded === "false") this.toggle(item, true);
        else if (expanded) next = items[at + 1];
        break;
      case "ArrowLeft":
        if (expanded === "true") this.toggle(item, false);
        else next = item.parentElement.closest('[role="treeitem"]');
        break;
      case "Enter": case " ": this.choose(item); break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (next) { this.focusable(next); next.focus(); }
  }
}

export function treeNote(element, text) {
  setText(element, text);
  element.hidden = !text;
}
