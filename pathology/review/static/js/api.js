// Talks to the server: session, reading, writing. Errors carry the server's own words and its fix.

import { ask, el } from "./dom.js";

export class ApiError extends Error {
  constructor(status, body) {
    super(body?.message || `The server answered ${status}.`);
    this.status = status;
    this.fix = body?.fix || "";
    this.withheld = Boolean(body?.withheld);
  }
}

let session = null;

async function raw(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The server does not answer.", fix: "Is `her2 review` still running? Nothing that was saved is lost." });
  }
  if (response.ok) return response;
  let body = null;
  try { body = await response.json(); } catch { /* no words came with it */ }
  throw new ApiError(response.status, body);
}

async function withLogin(work) {
  try {
    return await work();
  } catch (error) {
    if (error.status !== 401) throw error;
    await login();
    return work();
  }
}

export const getJson = (path, options) => withLogin(async () => (await raw(path, options)).json());
export const getBytes = (path, options) => withLogin(async () => (await raw(path, options)).arrayBuffer());

export async function post(path, body) {
  return withLogin(async () => {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": session?.csrf || "" };
    return (await raw(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  });
}

// The token of a start stands behind the #, which browsers send to nobody; it is used once.
function tokenOfStart() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

let waiting = null;

function login() {
  waiting ??= askLogin().finally(() => { waiting = null; });
  return waiting;
}

async function send(body) {
  const headers = { "Content-Type": "application/json" };
  await raw("/api/login", { method: "POST", headers, body: JSON.stringify(body) });
  session = await (await raw("/api/session")).json();
}

async function askLogin() {
  const done = await ask("Log in", [
    el("label", { class: "field" }, "User", el("input", { type: "text", name: "name", required: true, autocomplete: "username" })),
    el("label", { class: "field" }, "Password", el("input", { type: "password", name: "password", required: true, autocomplete: "current-password" })),
  ], { action: "Log in", check: send });
  if (!done) throw new ApiError(401, { message: "You are not logged in.", fix: "Reload the page to log in." });
}

export async function openSession() {
  const token = tokenOfStart();
  if (token) {
    try { await send({ token }); sessionStorage.setItem("her2:token", token); } catch { /* an old token: the session or the form decides */ }
  }
  session ??= await getJson("/api/session");
  return session;
}

// One local person signs with the token of the start; named users give their password again.
export const local = () => Boolean(session?.local);
export const tokenAgain = () => sessionStorage.getItem("her2:token") || "";

export async function leave() {
  sessionStorage.removeItem("her2:token");
  await post("/api/logout", {});
  location.assign("/");
}

export const slidePath = (id, rest = "") => `/api/slides/${encodeURIComponent(id)}${rest}`;
