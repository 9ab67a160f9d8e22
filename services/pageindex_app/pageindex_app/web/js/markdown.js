// A small subset of Markdown, made of elements and text nodes only. Links stay text, because a document is not trusted.
import { h } from "./dom.js";

const INLINE = /(`+)([^`]|[^`][\s\S]*?[^`])\1|\*\*([^\s*](?:[\s\S]*?[^\s*])?)\*\*|(?<![\w*])\*([^\s*](?:[^*]*[^\s*])?)\*(?!\w)|!?\[([^\]]*)\]\(([^)\s]*)(?:\s[^)]*)?\)/g;

export function inline(text) {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > end) nodes.push(text.slice(end, found.index));
    const [whole, , code, strong, emphasis, label, target] = found;
    if (code !== undefined) nodes.push(h("code", {}, code));
    else if (strong !== undefined) nodes.push(h("strong", {}, inline(strong)));
    else if (emphasis !== undefined) nodes.push(h("em", {}, inline(emphasis)));
    else nodes.push(h("span", { title: target, class: "dead-link" }, label || target));
    end = found.index + whole.length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

/** Blocks of a text: headings, lists, tables, code, quotes, paragraphs. */
export function markdown(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) { at += 1; continue; }
    const fence = /^\s*(```+|~~~+)/.exec(line);
    if (fence) {
      const body = [];
      for (at += 1; at < lines.length && !lines[at].trim().startsWith(fence[1]); at += 1) body.push(lines[at]);
      at += 1;
      blocks.push(h("pre", {}, h("code", {}, body.join("\n"))));
    } else if (/^#{1,6}\s/.test(line)) {
      const [, marks, title] = /^(#+)\s+(.*?)\s*#*$/.exec(line);
      blocks.push(h("p", { class: `heading level-${Math.min(marks.length, 4)}`, role: "heading", "aria-level": Math.min(marks.length + 3, 6) }, inline(title)));
      at += 1;
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      blocks.push(h("hr"));
      at += 1;
    } else if (line.trim().startsWith("|") && /^\s*\|?[\s:|-]+\|[\s:|-]*$/.test(lines[at + 1] ?? "")) {
      const rows = [];
      for (; at < lines.length && lines[at].trim().startsWith("|"); at += 1) rows.push(lines[at]);
      blocks.push(table(rows));
    } else if (/^\s*>/.test(line)) {
      const body = [];
      for (; at < lines.length && /^\s*>/.test(lines[at]); at += 1) body.push(lines[at].replace(/^\s*>\s?/, ""));
      blocks.push(h("blockquote", {}, markdown(body.join("\n"))));
    } else if (ITEM.test(line)) {
      const numbered = /^\s*\d/.test(line);
      const first = Number(/^\s*(\d+)/.exec(line)?.[1] ?? 1);
      const items = [];
      for (; at < lines.length && lines[at].trim(); at += 1) {
        const item = ITEM.exec(lines[at]);
        if (item) items.push(item[1]);
        else if (items.length) items[items.length - 1] += ` ${lines[at].trim()}`;
      }
      blocks.push(h(numbered ? "ol" : "ul", numbered && first !== 1 ? { start: first } : {}, items.map((item) => h("li", {}, inline(item)))));
    } else {
      const body = [];
      for (; at < lines.length && lines[at].trim() && !STARTS.test(lines[at]); at += 1) body.push(lines[at].trim());
      if (!body.length) { body.push(line.trim()); at += 1; }
      blocks.push(h("p", {}, inline(body.join("\n"))));
    }
  }
  return blocks;
}

const ITEM = /^\s*(?:[-*+]|\d{1,3}[.)])\s+(.*)$/;
const STARTS = /^\s*(?:```|~~~|>|#{1,6}\s|[-*+]\s|\d{1,3}[.)]\s|\|)/;

function table(rows) {
  const cells = (row) => row.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const [head, , ...body] = rows;
  return h("div", { class: "table" }, h("table", {},
    h("thead", {}, h("tr", {}, cells(head).map((cell) => h("th", { scope: "col" }, inline(cell))))),
    h("tbody", {}, body.map((row) => h("tr", {}, cells(row).map((cell) => h("td", {}, inline(cell))))))));
}
