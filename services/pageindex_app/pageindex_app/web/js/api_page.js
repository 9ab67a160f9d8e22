// Swagger UI for whoever has the key. Its files need the key, and a link cannot send it: so they are fetched.
import { getBlob, getJson, key } from "./api.js";

const note = document.getElementById("note");

async function start() {
  const [description, script, style] = await Promise.all([
    getJson("/api/openapi.json"), getBlob("/api/docs/swagger-ui-bundle.js"), getBlob("/api/docs/swagger-ui.css"),
  ]);
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = URL.createObjectURL(style);
  document.head.append(sheet);
  await loaded(script);
  note.hidden = true;
  window.SwaggerUIBundle({
    spec: { ...description, servers: [{ url: location.origin }] },
    dom_id: "#swagger-ui",
    deepLinking: false,
    validatorUrl: null, // would send the description to another host
    requestInterceptor(call) {
      if (key.get() && new URL(call.url, location.href).origin === location.origin) call.headers.Authorization = `Bearer ${key.get()}`;
      return call;
    },
  });
}

function loaded(blob) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = URL.createObjectURL(blob);
    script.addEventListener("load", resolve);
    script.addEventListener("error", reject);
    document.head.append(script);
  });
}

start().catch((error) => {
  note.textContent = error.status === 401 ? "This needs the key: go back to PageIndex, enter it there, then come here again." : `The API's description cannot be read. ${error.message ?? ""}`;
});
