// The app's HTTP API. The key is kept for this tab's session only, and travels only in the header.

const KEY = "pageindex-key";

export class ApiError extends Error {
  constructor(status, code, message, hint = "") {
    super(message);
    Object.assign(this, { status, code, hint });
  }

  /** Whether the same request may succeed later: the model or its server is away. */
  get passes() { return this.status === 503 || this.status === 429 || this.status === 0 || this.code === "model_unavailable"; }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

let refused = () => {};
/** Called when the service does not accept the key. */
export function onRefused(listener) { refused = listener; }

function headers(more = {}) {
  return key.get() ? { ...more, Authorization: `Bearer ${key.get()}` } : more;
}

export async function request(method, path, { json, accept, signal, keepalive } = {}) {
  const sent = headers(json === undefined ? {} : { "Content-Type": "application/json" });
  if (accept) sent.Accept = accept;
  const body = json === undefined ? undefined : JSON.stringify(json);
  const response = await fetched(path, { method, headers: sent, signal, keepalive, cache: "no-cache", body });
  if (response.ok) return response;
  throw failed(response.status, await response.text().catch(() => ""));
}

const PAUSES_MS = [300, 1200];

/** A change of network drops running requests; those that only read are sent again. */
async function fetched(path, options) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (options.method !== "GET" || attempt >= PAUSES_MS.length) {
        throw new ApiError(0, "unreachable", "The service cannot be reached.", "Look whether this machine is connected, and whether the stack is up.");
      }
      await new Promise((resolve) => { setTimeout(resolve, PAUSES_MS[attempt]); });
    }
  }
}

/** The error in the service's own words; in the page's where a proxy answered instead. */
export function failed(status, text) {
  let error = {};
  try { error = JSON.parse(text).error ?? {}; } catch { /* no JSON: a proxy's page */ }
  const result = new ApiError(status, error.code ?? "", error.message ?? `The service answered with status ${status}.`, error.hint ?? HINTS[status] ?? "");
  if (status === 401) refused(result);
  return result;
}

const HINTS = {
  401: "Enter the key again.",
  404: "It may have been deleted in the meantime.",
  413: "Split the file, or let the operator raise the limit.",
  429: "Too many requests at once: wait a moment, then try again.",
  502: "The app is starting or down: try again in a moment.",
  503: "Try again in a moment.",
  504: "It took too long: try again in a moment.",
};

export async function getJson(path, options) { return (await request("GET", path, options)).json(); }
export async function postJson(path, json, options) { return (await request("POST", path, { json, ...options })).json(); }
export async function getBlob(path, options) { return (await request("GET", path, options)).blob(); }
export async function remove(path, options) { await request("DELETE", path, options); }

/** Server-sent events of a response, as {event, data}; EventSource itself cannot send the key. */
export async function* events(response, heard = () => {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const message = parse(block);
        if (message) yield message;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return data.length ? { event, data: JSON.parse(data.join("\n")) } : null;
}

/** Upload one file; only XMLHttpRequest tells how far it is. */
export function upload(file, progress) {
  const call = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    call.open("POST", "/api/documents");
    for (const [name, value] of Object.entries(headers())) call.setRequestHeader(name, value);
    call.upload.addEventListener("progress", (event) => { if (event.lengthComputable) progress(event.loaded / event.total); });
    call.addEventListener("load", () => {
      if (call.status >= 200 && call.status < 300) resolve({ document: JSON.parse(call.responseText), known: call.status === 200 });
      else reject(failed(call.status, call.responseText));
    });
    call.addEventListener("error", () => reject(new ApiError(0, "unreachable", "The connection broke.", "The file may be larger than the service takes, or the service is away: try again.")));
    call.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    const form = new FormData();
    form.append("file", file, file.name);
    call.send(form);
  });
  return { done, stop: () => call.abort() };
}
