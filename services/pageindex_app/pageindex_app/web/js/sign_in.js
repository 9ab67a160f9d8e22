// Signing in: where the key is entered. Without a gateway in front the app asks for no key, and this never shows.
import { ApiError, getJson, key, onRefused } from "./api.js";
import { fill, h, icon, setText } from "./dom.js";

const MESSAGE = "pageindex-message"; // in sessionStorage, so that it survives a reload
let opened = () => {};
let signedIn = false;

/** Resolves once the service accepts the key, or needs none; asks for the key when it must. */
export async function signIn() {
  onRefused(() => { if (signedIn) { keepRefusal(); signOut(); } });
  if (await accepted()) { open(); return; }
  await ask();
}

/** Forget the key and reload: a fresh page holds nothing of what the last person saw. */
export function signOut() {
  signedIn = false;
  key.forget();
  history.replaceState(null, "", location.pathname);
  location.reload();
}

function keepRefusal() {
  sessionStorage.setItem(MESSAGE, "The key is no longer accepted. Enter it again.");
}

async function accepted() {
  try {
    await getJson("/api/documents?limit=1");
    return true;
  } catch (error) {
    if (!(error instanceof ApiError) || (error.status !== 401 && error.status !== 403)) return true; // the key is not what is wrong; the page says what is
    if (key.get()) keepRefusal();
    key.forget();
    return false;
  }
}

function open() {
  signedIn = true;
  document.body.dataset.state = "open";
  document.getElementById("sign-in").replaceChildren();
  opened();
}

function ask() {
  const root = document.getElementById("sign-in");
  const said = sessionStorage.getItem(MESSAGE) ?? "";
  sessionStorage.removeItem(MESSAGE);
  const field = h("input", { id: "key", type: "password", class: "field", autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: true, "aria-describedby": "key-help key-error" });
  const fault = h("p", { id: "key-error", class: "fault", role: "alert" }, said);
  const reveal = h("button", { type: "button", class: "link", "aria-pressed": "false", on: { click: toggle } }, "Show");
  const send = h("button", { type: "submit", class: "button primary wide" }, "Continue");
  function toggle() {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    reveal.setAttribute("aria-pressed", String(!shown));
    setText(reveal, shown ? "Show" : "Hide");
  }
  return new Promise((resolve) => {
    opened = resolve;
    async function submit(event) {
      event.preventDefault();
      const value = field.value.trim().replace(/^Bearer\s+/i, "");
      if (!value) { refuse("Enter a key first."); return; }
      if (!/^[\x21-\x7e]+$/.test(value)) { refuse("A key has no spaces or special letters. Copy it again."); return; }
      send.disabled = true;
      key.set(value);
      try {
        await getJson("/api/documents?limit=1");
        open();
      } catch (error) {
        key.forget();
        if (error.status === 401 || error.status === 403) refuse("This key is not accepted. Copy it again, whole.");
        else refuse(`${error.message} ${error.hint}`);
      } finally {
        send.disabled = false;
      }
    }
    function refuse(text) {
      fault.textContent = text;
      field.setAttribute("aria-invalid", "true");
      field.focus();
      field.select();
    }
    fill(root,
      h("form", { class: "sign-in-card", novalidate: true, "aria-labelledby": "sign-in-title", on: { submit } },
        h("div", { class: "sign-in-mark" }, icon("key")),
        h("h1", { id: "sign-in-title" }, "Enter your key"),
        h("p", { id: "key-help", class: "muted" }, "It is a client's key of this stack. It stays in this tab until you log out or close it."),
        h("div", { class: "field-head" }, h("label", { for: "key" }, "Key"), reveal),
        field, fault, send,
        h("details", { class: "sign-in-help" },
          h("summary", {}, "Where do I find it?"),
          h("p", {}, "Whoever runs the stack can print it:"),
          h("pre", {}, h("code", {}, "pulumi stack output api_key --show-secrets"))))); // pragma: allowlist secret
    document.body.dataset.state = "locked";
    field.focus();
  });
}
