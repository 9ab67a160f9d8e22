// Finds a quote's words in rendered text and marks them, whatever lies between the words: line breaks, hyphens, cells.
import { h } from "./dom.js";

const SIGNIFICANT = /[\p{L}\p{N}]/u;

/** Mark the quote inside an element; true when its words are there. */
export function mark(root, quote) {
  const places = []; // for each significant character: its text node and offset
  let text = "";
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    for (let offset = 0; offset < node.data.length; offset += 1) {
      if (!SIGNIFICANT.test(node.data[offset])) continue;
      text += node.data[offset].toLowerCase().slice(0, 1);
      places.push({ node, offset });
    }
  }
  const wanted = quote.split("").filter((letter) => SIGNIFICANT.test(letter)).map((letter) => letter.toLowerCase().slice(0, 1)).join("");
  if (!wanted) return false;
  let start = text.indexOf(wanted);
  let length = wanted.length;
  if (start < 0 && wanted.length > 80) { // a long quote that was cut in the middle of a word
    length = 80;
    start = text.indexOf(wanted.slice(0, length));
  }
  if (start < 0) return false;
  const pieces = new Map(); // text node -> [from, to]
  for (const { node, offset } of places.slice(start, start + length)) {
    const piece = pieces.get(node);
    if (piece) piece[1] = offset + 1;
    else pieces.set(node, [offset, offset + 1]);
  }
  for (const [node, [from, to]] of pieces) {
    const rest = node.splitText(from);
    rest.splitText(to - from);
    const marked = h("mark");
    rest.replaceWith(marked);
    marked.append(rest);
  }
  return true;
}
