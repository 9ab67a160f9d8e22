// Short messages that pass by themselves; an undo waits until they do.
import { fill, h, iconButton } from "./dom.js";

const LASTS_MS = 7000;

/** Show a message. `action` is {label, run}; `gone` runs when it passed without the action. Returns a function that ends it now. */
export function toast(text, { action, gone, tone = "plain" } = {}) {
  const region = document.getElementById("toasts");
  let timer;
  const element = h("div", { class: `toast ${tone}` });
  const end = (took) => {
    if (!element.isConnected) return;
    clearTimeout(timer);
    element.remove();
    (took ? action.run : gone)?.();
  };
  fill(
    element,
    h("span", { class: "toast-text" }, text),
    action && h("button", { type: "button", class: "link", on: { click: () => end(true) } }, action.label),
    iconButton("clear", "Dismiss", () => end(false), { class: "small" }),
  );
  const start = () => { timer = setTimeout(() => end(false), LASTS_MS); };
  // The time stops while somebody is about to press the button.
  for (const type of ["pointerenter", "focusin"]) element.addEventListener(type, () => clearTimeout(timer));
  for (const type of ["pointerleave", "focusout"]) element.addEventListener(type, () => { clearTimeout(timer); start(); });
  region.append(element);
  start();
  return () => end(false);
}

/** Ask before something that cannot be undone. */
export function confirmed(title, text, verb) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" });
    const close = (answer) => { dialog.close(); dialog.remove(); resolve(answer); };
    fill(
      dialog,
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, text),
      h("div", { class: "dialog-actions" },
        h("button", { type: "button", class: "button", autofocus: true, on: { click: () => close(false) } }, "Keep"),
        h("button", { type: "button", class: "button danger", on: { click: () => close(true) } }, verb)),
    );
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(false); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
