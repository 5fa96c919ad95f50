// The work list: filter, search, keyboard, and only those rows in the page that can be seen.

import { byId, el, fill, announce, toast } from "./dom.js";
import { LIST_KEYS, showKeys } from "./keys.js";
import { getJson, openSession, leave, slidePath } from "./api.js";
import { count, plural, points, scoreWords, sentence, state } from "./format.js";

const CASE_PX = 34;
const SLIDE_PX = 72;
const SPARE_PX = 400;
const DONE = new Set(["signed"]);
const FILTERS = [
  { code: "all", text: "All", test: () => true },
  { code: "open", text: "To sign", test: (row) => !DONE.has(row.state) },
  { code: "0", text: "Close to a cut-off", test: (row) => row.attention === 0 },
  { code: "1", text: "2+", test: (row) => row.score === "2+" },
  { code: "2", text: "Not scorable", test: (row) => row.attention === 2 || row.attention === 4 },
  { code: "second", text: "Second reader", test: (row) => row.state === "second_reader" },
  { code: "signed", text: "Signed", test: (row) => DONE.has(row.state) },
];

const view = { rows: [], items: [], slides: [], selected: 0, filter: "all", score: "", search: "", blinded: false };
const shown = new Map();

function textOf(row) {
  const flags = (row.flags || []).map((flag) => `${flag.title} ${flag.code}`);
  return [row.case, row.block, row.name, row.tier, row.why, row.assay, row.attention_words, state(row.state).text, ...flags]
    .join(" ").toLowerCase();
}

function refresh({ keep = null } = {}) {
  const test = FILTERS.find((item) => item.code === view.filter).test;
  const parts = view.search.toLowerCase().split(/\s+/).filter(Boolean);
  view.slides = view.rows.filter((row) => test(row) && (!view.score || row.score === view.score)
    && parts.every((part) => row.text.includes(part)));
  view.items = layOut(view.slides);
  const found = keep === null ? -1 : view.slides.findIndex((row) => row.slide_id === keep);
  view.selected = Math.max(0, found);
  byId("count").textContent = view.slides.length === view.rows.length
    ? plural(view.rows.length, "slide") : `${count(view.slides.length)} of ${plural(view.rows.length, "slide")}`;
  const list = byId("list");
  for (const node of shown.values()) node.remove();
  shown.clear();
  const pad = list.firstElementChild;
  pad.style.height = `${view.items.length ? view.items.at(-1).bottom : 0}px`;
  tell(view.items.length ? "" : "No slide matches.");
  if (found >= 0) reveal(); else list.scrollTop = 0;
  draw();
}

// Said in place of the rows: a list box holds nothing but its rows.
function tell(text, role = "status") {
  byId("empty").setAttribute("role", role);
  byId("empty").textContent = text;
  byId("empty").hidden = !text;
}

// A blinded reader's order mixes the cases, and each slide then stands alone.
function layOut(slides) {
  const items = [];
  let top = 0;
  let last = null;
  slides.forEach((row, index) => {
    if (!view.blinded && (index === 0 || row.case !== last || !row.case)) {
      items.push({ case: row, members: 1, top, bottom: (top += CASE_PX), key: `c${row.slide_id}` });
      last = row.case;
    } else if (!view.blinded) {
      items.findLast((item) => item.case).members += 1;
    }
    items.push({ row, index, top, bottom: (top += SLIDE_PX), key: row.slide_id });
  });
  return items;
}

function firstVisible(y) {
  let low = 0;
  let high = view.items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (view.items[middle].bottom <= y) low = middle + 1; else high = middle;
  }
  return low;
}

function draw() {
  const list = byId("list");
  const bottom = list.scrollTop + list.clientHeight + SPARE_PX;
  const wanted = new Map();
  for (let i = firstVisible(list.scrollTop - SPARE_PX); i < view.items.length && view.items[i].top < bottom; i += 1) {
    wanted.set(view.items[i].key, view.items[i]);
  }
  for (const [key, node] of shown) {
    if (!wanted.has(key)) { node.remove(); shown.delete(key); }
  }
  const pad = list.firstElementChild;
  for (const [key, item] of wanted) {
    let node = shown.get(key);
    if (!node) {
      node = item.row ? slideNode(item) : caseNode(item);
      node.style.transform = `translateY(${item.top}px)`;
      shown.set(key, node);
      pad.append(node);
    }
    if (item.row) node.setAttribute("aria-selected", String(item.index === view.selected));
  }
  const current = view.slides[view.selected];
  if (current) list.setAttribute("aria-activedescendant", `slide-${current.slide_id}`);
  else list.removeAttribute("aria-activedescendant");
}

function caseNode({ case: row, members }) {
  return el("div", { class: "case", role: "presentation" },
    el("strong", { text: row.case || "No case named" }),
    el("span", { class: "muted", text: plural(members, "slide") }));
}

function slideNode({ row, index }) {
  const label = [row.case && `Case ${row.case}`, row.block && `block ${row.block}`, row.name,
    row.withheld ? "" : row.signed_score || row.score || row.status?.replace("_", " "), row.attention_words, state(row.state).text].filter(Boolean).join(", ");
  return el("div", {
    class: "slide", role: "option", id: `slide-${row.slide_id}`, "aria-label": label, "aria-setsize": view.slides.length, "aria-posinset": index + 1,
    onclick: () => { view.selected = index; draw(); open(); },
  },
  el("div", { class: "thumb" }, el("img", { src: slidePath(row.slide_id, "/thumbnail.jpg"), alt: "", loading: "lazy", onerror: (event) => event.target.remove() })),
  el("div", { class: "name" },
    el("span", { class: "block", text: row.block ? `Block ${row.block}` : "" }),
    view.blinded && row.case ? el("span", { class: "muted", text: ` ${row.case}` }) : null,
    el("div", { class: "name muted", text: row.name || `Slide ${index + 1}`, title: row.name })),
  scoreNode(row),
  el("div", { class: "num" }, row.withheld ? "" : points(row.distance_pp), !row.withheld && row.nearest_score ? el("small", { text: `to ${row.nearest_score}` }) : null),
  el("div", { class: "why" }, row.attention_words || "", row.why ? el("small", { text: row.why, title: row.why }) : null),
  el("div", { class: "flags" }, flagBadges(row.flags || [])),
  el("div", {}, el("span", { class: `badge ${state(row.state).kind}`, text: state(row.state).text })));
}

// Two lines of flags fit a row; the rest is counted, and named in full on the slide's page.
function flagBadges(flags) {
  const shown = flags.length > 3 ? flags.slice(0, 2) : flags.slice(0, 3);
  const rest = flags.slice(shown.length);
  return [...shown.map((flag) => el("span", { class: "badge", text: flag.title })),
    rest.length ? el("span", { class: "badge", text: `+${rest.length}`, title: rest.map((flag) => flag.title).join("\n") }) : null];
}

function scoreNode(row) {
  if (row.withheld) return el("div", { class: "score" }, el("span", { text: "hidden until read" }));
  if (row.signed_score) {
    return el("div", { class: "score" }, el("b", { class: row.signed_score === "not_scorable" ? "none" : "", text: scoreWords(row.signed_score) }),
      el("span", { text: row.signed_score === row.score ? row.tier : `program: ${row.score || "no score"}` }));
  }
  if (row.status !== "scored") {
    return el("div", { class: "score" }, el("span", { class: "none", text: row.status === "failed" ? "Failed" : "No score" }));
  }
  return el("div", { class: "score" }, el("b", { text: row.score || "?" }), el("span", { text: row.tier }));
}

function move(step) {
  if (!view.slides.length) return;
  view.selected = Math.min(Math.max(view.selected + step, 0), view.slides.length - 1);
  reveal();
  draw();
}

function reveal() {
  const list = byId("list");
  const item = view.items.find((one) => one.index === view.selected && one.row);
  if (!item) return;
  if (item.top - CASE_PX < list.scrollTop) list.scrollTop = item.top - CASE_PX;
  else if (item.bottom > list.scrollTop + list.clientHeight) list.scrollTop = item.bottom - list.clientHeight;
}

function open() {
  const row = view.slides[view.selected];
  if (!row) return;
  // The page of a slide goes on to the next one in this order.
  sessionStorage.setItem("her2:order", JSON.stringify(view.slides.map((one) => one.slide_id)));
  sessionStorage.setItem("her2:list", JSON.stringify({ filter: view.filter, score: view.score, search: view.search, slide: row.slide_id }));
  location.assign(`/slide/${encodeURIComponent(row.slide_id)}`);
}

const KEYS = {
  j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1),
  PageDown: () => move(8), PageUp: () => move(-8), Home: () => move(-1e9), End: () => move(1e9), Enter: open, "?": () => showKeys(LIST_KEYS),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (event.key === "/" && !typing) { event.preventDefault(); byId("search").focus(); return; }
  if (event.target.id === "search" && (event.key === "Escape" || event.key === "Enter" || event.key === "ArrowDown")) {
    event.preventDefault();
    byId("list").focus();
    return;
  }
  if (typing || event.target.tagName === "BUTTON" || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
}

function drawFilters() {
  const offered = view.blinded ? FILTERS.filter((item) => ["all", "open", "signed"].includes(item.code)) : FILTERS;
  fill(byId("filters"), offered.map((item) => el("button", {
    type: "button", "aria-pressed": String(item.code === view.filter),
    onclick: () => { view.filter = item.code; drawFilters(); refresh(); announce(byId("count").textContent); },
  }, item.text, el("span", { class: "n", text: count(view.rows.filter(item.test).length) }))));
  byId("score").parentElement.hidden = view.blinded;
}

async function start() {
  byId("list").append(el("div", { class: "pad" }));
  const session = await openSession();
  byId("who").textContent = `${session.user} · ${session.role.replace("_", " ")}`;
  const content = await getJson("/api/worklist");
  view.blinded = content.blinded;
  view.rows = content.rows.map((row) => ({ ...row, text: textOf(row) }));
  byId("run").textContent = content.run + (content.blinded ? " · blinded reading, random order" : "");
  if (!content.finished) byId("run").after(el("span", { class: "badge warn", role: "status", text: `Unfinished run: ${plural(content.rows.length, "slide")} done so far`, title: "The same `her2 score` command goes on with the rest. Reload to see what was done since." }));
  const before = JSON.parse(sessionStorage.getItem("her2:list") || "null");
  if (before) {
    view.score = byId("score").value = before.score;
    view.search = byId("search").value = before.search;
    if (!view.blinded) view.filter = before.filter;
  }
  drawFilters();
  refresh({ keep: before?.slide ?? null });
  byId("list").focus({ preventScroll: true });
}

let frame = 0;
byId("list").addEventListener("scroll", () => {
  frame ||= requestAnimationFrame(() => { frame = 0; draw(); });
}, { passive: true });
window.addEventListener("resize", () => draw());
document.addEventListener("keydown", onKey);
byId("search").addEventListener("input", (event) => { view.search = event.target.value; refresh(); });
byId("score").addEventListener("change", (event) => { view.score = event.target.value; refresh(); });
byId("keys-help").addEventListener("click", () => showKeys(LIST_KEYS));
byId("leave").addEventListener("click", () => leave().catch((error) => toast(error.message, "bad")));
start().catch((error) => {
  tell(sentence(error), "alert");
});
