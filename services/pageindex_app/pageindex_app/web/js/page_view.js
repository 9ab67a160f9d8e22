// One page: its picture with the quoted words marked, or its text.
import { getBlob, getJson } from "./api.js";
import { fill, h } from "./dom.js";
import { mark } from "./marks.js";
import { markdown } from "./markdown.js";
import { unit } from "./format.js";

const WIDTHS = [800, 1400, 2000]; // some of the service's own, see page_images.py
const KEPT = 16; // pictures kept for turning back
const pictures = new Map(); // path -> promise of an object URL

export function picture(id, page, width) {
  const wanted = WIDTHS.find((one) => one >= width * Math.min(devicePixelRatio, 2)) ?? WIDTHS.at(-1);
  const path = `/api/documents/${encodeURIComponent(id)}/pages/${page}/image?width=${wanted}`;
  let found = pictures.get(path);
  if (!found) {
    found = getBlob(path).then((blob) => URL.createObjectURL(blob));
    found.catch(() => pictures.delete(path));
    pictures.set(path, found);
    for (const [old, url] of pictures) {
      if (pictures.size <= KEPT) break;
      pictures.delete(old);
      url.then(URL.revokeObjectURL, () => {});
    }
  } else { // moved to the end: the one used last is dropped last
    pictures.delete(path);
    pictures.set(path, found);
  }
  return found;
}

/** The page's picture in a frame that has its size before the picture is there. Returns whether the quote is marked on it. */
export async function drawPicture(frame, doc, page, quote, current) {
  const marks = h("div", { class: "marks", "aria-hidden": "true" });
  const image = h("img", { class: "page-image", alt: `Page ${page} of ${doc.name}` });
  const holder = h("div", { class: "sheet loading" }, image, marks);
  fill(frame, holder);
  const places = quote ? getJson(`/api/documents/${encodeURIComponent(doc.id)}/pages/${page}/boxes?quote=${encodeURIComponent(quote.slice(0, 1000))}`).then(({ boxes }) => boxes, () => []) : [];
  const source = await picture(doc.id, page, frame.clientWidth || 800);
  if (!current()) return false;
  image.src = source;
  await image.decode().catch(() => {});
  holder.classList.remove("loading");
  const boxes = await places;
  if (!current() || !boxes.length) return false;
  for (const [left, top, width, height] of boxes) {
    const box = h("div", { class: "mark-box" });
    for (const [name, value] of Object.entries({ left, top, width, height })) box.style[name] = `${(value * 100).toFixed(3)}%`;
    marks.append(box);
  }
  marks.firstElementChild.scrollIntoView({ block: "center" });
  return true;
}

/** The page's text; returns whether the quote is in it. */
export async function drawText(frame, doc, page, quote, current) {
  const body = h("article", { class: `page-text prose ${doc.kind}`, "aria-label": `Text of ${unit(doc.kind)} ${page}` });
  fill(frame, body);
  const { text } = await getJson(`/api/documents/${encodeURIComponent(doc.id)}/pages/${page}`);
  if (!current()) return false;
  if (!text.trim()) fill(body, h("p", { class: "muted" }, `This ${unit(doc.kind)} has no text.`));
  else if (doc.kind === "markdown") fill(body, markdown(text));
  else fill(body, h("div", { class: "plain" }, text));
  const found = Boolean(quote) && mark(body, quote);
  if (found) body.querySelector("mark").scrollIntoView({ block: "center" });
  else frame.scrollTop = 0;
  return found;
}

export function forgetPictures() {
  for (const url of pictures.values()) url.then(URL.revokeObjectURL, () => {});
  pictures.clear();
}
