// Elements are made here and nowhere else: text is always text, so no name can become markup.

import { sentence } from "./format.js";

export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "style") Object.assign(node.style, value);
    else if (name === "text") node.textContent = value;
    else if (name in node && name !== "list" && !name.startsWith("aria")) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return append(node, children);
}

export const byId = (id) => document.getElementById(id);

export function announce(text) {
  const place = byId("announce");
  if (place) place.textContent = text;
}

let toastTimer = 0;

export function toast(text, kind = "") {
  document.querySelector(".toast")?.remove();
  const note = el("div", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : "status", text });
  document.body.append(note);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => note.remove(), kind === "bad" ? 9000 : 4000);
}

// Opens a dialog and resolves to the form's data, or to null when it was left.
export function ask(title, fields, { action = "Save", danger = false, plain = false, check } = {}) {
  return new Promise((resolve) => {
    const problem = el("p", { class: "notice bad", role: "alert", hidden: true });
    const submit = el("button", { type: "submit", class: danger ? "danger" : "primary", text: action });
    const form = el("form", { method: "dialog" },
      el("h2", { text: title, id: "dialog-title" }), fields, problem,
      el("div", { class: "row" },
        plain ? null : el("button", { type: "button", text: "Cancel", onclick: () => box.close() }), submit));
    const box = el("dialog", { "aria-labelledby": "dialog-title" }, form);
    let answer = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!form.reportValidity()) return;
      const data = Object.fromEntries(new FormData(form));
      submit.disabled = true;
      try {
        if (check) await check(data);
        answer = data;
        box.close();
      } catch (error) {
        problem.textContent = sentence(error);
        problem.hidden = false;
      } finally {
        submit.disabled = false;
      }
    });
    box.addEventListener("close", () => { box.remove(); resolve(answer); });
    document.body.append(box);
    box.showModal();
  });
}
