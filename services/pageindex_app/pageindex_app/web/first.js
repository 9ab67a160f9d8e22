// Runs before the first paint and before all modules.

// A page kept dark must never flash white. Only the theme is ever kept here.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; then the system's theme holds.
}

// The page stays empty when a script does not arrive: reload it a few times, then say so.
const LOADS_MOST = 4;
addEventListener("error", (event) => {
  if (!(event.target instanceof HTMLScriptElement || event.target instanceof HTMLLinkElement)) return;
  const loads = Number(sessionStorage.getItem("pageindex-loads") ?? 0) + 1;
  sessionStorage.setItem("pageindex-loads", String(loads));
  if (loads < LOADS_MOST) setTimeout(() => location.reload(), 500 * loads);
  else document.getElementById("lost").hidden = false;
}, true);
