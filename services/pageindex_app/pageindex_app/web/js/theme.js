// Light, dark, or what the system says.
import { fill, icon, iconButton } from "./dom.js";

const ORDER = ["system", "light", "dark"];
const ICONS = { system: "screen", light: "sun", dark: "moon" };

export function themeButton() {
  const button = iconButton("screen", "", () => {
    const next = ORDER[(ORDER.indexOf(current()) + 1) % ORDER.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      if (next === "system") localStorage.removeItem("theme");
      else localStorage.setItem("theme", next);
    } catch { /* not kept then */ }
    draw();
  });
  button.id = "theme";
  function draw() {
    const theme = current();
    fill(button, icon(ICONS[theme]));
    const label = `Theme: ${theme === "system" ? "as the system" : theme}. Change`;
    button.setAttribute("aria-label", label);
    button.title = label;
  }
  draw();
  return button;
}

function current() {
  return document.documentElement.dataset.theme ?? "system";
}
