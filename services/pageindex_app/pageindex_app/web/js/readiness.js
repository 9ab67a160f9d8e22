// Says when the model or the service is away, what to do, and when it is back; asks more often while it is away.
import { announce, coded, fill, h, icon } from "./dom.js";
import { emit, on, state } from "./store.js";
import { toast } from "./toast.js";

const WELL_MS = 30_000;
const AWAY_MS = 4_000;
let timer;
let shown = "";

export function watchReadiness() {
  on("doubt", look); // something failed in a way that suggests an outage
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  addEventListener("online", look);
  addEventListener("offline", look);
  look();
}

async function look() {
  clearTimeout(timer);
  const was = current();
  try {
    const response = await fetch("/ready", { cache: "no-store" });
    if (response.status === 429) throw new TypeError("asked too often"); // says nothing about the service
    const body = await response.json().catch(() => ({}));
    const checks = body.checks ?? {};
    state.online = response.ok || Boolean(body.checks);
    const bad = Object.entries(checks).filter(([, check]) => !check.ok);
    state.model = { ok: checks.vllm ? checks.vllm.ok : response.ok, reason: checks.vllm?.reason ?? "" };
    state.fault = bad.filter(([part]) => part !== "vllm").map(([part, check]) => `${part}: ${check.reason}`).join("; ");
  } catch {
    state.online = false;
  }
  const now = current();
  if (now !== was && !now && was) {
    toast("Everything is back. You can ask again.", { tone: "good" });
    emit("recovered");
  }
  if (now !== was) emit("readiness");
  draw(now);
  if (!document.hidden) timer = setTimeout(look, now ? AWAY_MS : WELL_MS);
}

function current() {
  if (!state.online) return "offline";
  if (!state.model.ok) return "model";
  return state.fault ? "fault" : "";
}

const TEXTS = {
  offline: () => ["The service cannot be reached.", "Look at your connection. If others have the same, the stack may be down: whoever runs it finds out with `make check`."],
  model: () => [`The language model is not available${state.model.reason ? `: ${state.model.reason}` : ""}.`, "Documents can be read meanwhile; uploads wait and questions will work again when it is back. If it stays away, whoever runs the stack finds out why with `make check`."],
  fault: () => ["The service has a fault.", `${state.fault}. Whoever runs the stack finds out more with \`make check\`.`],
};

function draw(kind) {
  const banner = document.getElementById("banner");
  const [title, help] = kind ? TEXTS[kind]() : ["", ""];
  if (title + help === shown) return;
  shown = title + help;
  if (!kind) { banner.replaceChildren(); return; }
  fill(banner, h("div", { class: "banner" }, icon("warning"),
    h("p", {}, h("strong", {}, title), " ", coded(help), h("span", { class: "muted" }, " This page keeps looking and recovers by itself."))));
  announce(title);
}
