// Makes elements without ever parsing markup: no text of a document or an answer can become an element.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, `on` listeners and children (strings become text; null and false nothing). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Write text only where it changed: a screen reader reads a live region again on every write. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }
}

/** A sentence with its `code` shown as such. */
export function coded(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

const PATHS = {
  add: "M12 5v14M5 12h14",
  ask: "M4 5h16v11H9l-5 4z",
  back: "M15 5l-7 7 7 7",
  check: "M5 12.5l4.5 4.5L19 7.5",
  chevron: "M9 6l6 6-6 6",
  clear: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10v11H9zM5 15V4h10",
  download: "M12 4v11m-5-4.5l5 5 5-5M5 20h14",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  folder: "M3 6h6l2 2h10v11H3z",
  history: "M4.5 12a7.5 7.5 0 1 0 2.3-5.4M4 4v4h4M12 8v4.5l3 2",
  key: "M11 9a4 4 0 1 0 8 0 4 4 0 1 0-8 0M12.200 11.800L4.500 19.500M6.700 17.300l2.300 2.300M9.700 14.300l1.800 1.800",
  leave: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  moon: "M19 14.500A7.500 7.500 0 0 1 9.500 5 7.500 7.500 0 1 0 19 14.500z",
  none: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M6.500 6.500l11 11",
  quote: "M10 8H5v5h4c0 2-1 3-3 3.500M19 8h-5v5h4c0 2-1 3-3 3.500",
  screen: "M4 5h16v11H4zM9 20h6M12 16v4",
  search: "M10.500 4.500a6 6 0 1 0 0 12 6 6 0 0 0 0-12M15 15l5 5",
  send: "M12 19V5m-6 6l6-6 6 6",
  stop: "M7 7h10v10H7z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2.500V5M12 19v2.500M2.500 12H5M19 12h2.500M5.300 5.300L7 7M17 17l1.700 1.700M5.300 18.700L7 17M17 7l1.700-1.700",
  text: "M5 6h14M5 12h14M5 18h9",
  trash: "M5 7h14M9.500 7V4.500h5V7M7 7l1 13h8l1-13M10 11v5.500M14 11v5.500",
  tree: "M5 5h6M8 5v14M8 12h5M8 19h5M16 12h3M16 19h3",
  again: "M19.500 12a7.500 7.500 0 1 1-2.300-5.400M20 4v4h-4",
  warning: "M12 4l9 16H3zM12 10v5M12 17.400v.200",
};

/** A line icon, hidden from screen readers: the button around it has the name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon only; its label is its accessible name and its tooltip. */
export function iconButton(name, label, click, attributes = {}) {
  const { class: more = "", ...rest } = attributes;
  return h("button", { type: "button", class: `icon-button ${more}`, "aria-label": label, title: label, on: { click }, ...rest }, icon(name));
}

/** Say something to screen readers only. */
export function announce(text) {
  const region = document.getElementById("announcer");
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}
