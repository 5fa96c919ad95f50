// The page of one slide: puts viewer, layers, regions, panel and work together.

import { byId, el, fill, svg, announce, toast } from "./dom.js";
import { getJson, openSession, post, slidePath } from "./api.js";
import { Eye, join } from "./viewer.js";
import { Area, Cells, FailedTiles, HeatMap, RunRegions } from "./layers.js";
import { Regions } from "./regions.js";
import { cellCard, readingPage, stateBadge, verdict } from "./panel.js";
import { KINDS, Work } from "./work.js";
import { SLIDE_KEYS, showKeys } from "./keys.js";
import { sentence, state } from "./format.js";

const id = decodeURIComponent(location.pathname.split("/").pop());
const page = { tab: "reading", panel: null, histogram: null, fields: [], slide: null, legend: null };
const TABS = [["reading", "Reading"], ["layers", "Layers"], ["review", "Review"], ["history", "History"]];
const ICONS = {
  move: "M12 3v18M3 12h18M12 3l-2.5 2.5M12 3l2.5 2.5M12 21l-2.5-2.5M12 21l2.5-2.5M3 12l2.5-2.5M3 12l2.5 2.5M21 12l-2.5-2.5M21 12l-2.5 2.5",
  edit: "M5 3l5.5 15 2.2-6.2L19 9.6z", undo: "M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10H9",
};
let eye; let work; let regions; let heat; let cells; let failed; let areas = []; let runRegions; let beside = null;

function showTitle() {
  const { case: name, block, name: file } = page.slide;
  fill(byId("title"), el("b", { text: name || file || "Slide" }), block ? ` · block ${block}` : "", name ? el("span", { class: "muted", text: `  ${file}` }) : null);
  document.title = `${name || file || "Slide"} – HER2 review`;
}

function showProblem() {
  const { problem, picture } = page.slide;
  const place = byId("problem");
  place.hidden = !problem && Boolean(picture);
  if (problem) fill(place, el("p", {}, el("b", { text: sentence({ message: problem.message }) })), el("p", { text: problem.fix }),
    problem.moved ? el("div", { class: "buttons" }, el("button", { type: "button", id: "relink", text: "Look for it", onclick: lookForSlide })) : null);
  else if (!picture) fill(place, el("p", { text: "The run knows neither size nor pixel size of this slide: there is no picture." }));
}

// The server looks where it was told at its start, and takes the file only if its content is the one that was scored.
async function lookForSlide(event) {
  event.target.disabled = true;
  try { await post(slidePath(id, "/relink"), {}); location.reload(); }
  catch (error) { event.target.disabled = false; toast(sentence(error), "bad"); }
}

function toolButton(code, text, key, mark) {
  return el("button", {
    type: "button", "aria-pressed": String(regions.tool === code), title: `${text} (${key.toUpperCase()})`, disabled: code !== "move" && (work.closed || regions.readonly),
    onclick: () => regions.use(code),
  }, mark, text);
}

const icon = (path) => svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: path }));

function showTools() {
  const palette = page.legend.regions;
  fill(byId("tools"),
    toolButton("move", "Move", "v", icon(ICONS.move)), el("hr"),
    KINDS.map((kind) => toolButton(kind.code, kind.short, kind.key, el("span", { class: "swatch", style: { borderColor: palette[kind.code].colour, background: `${palette[kind.code].colour}33` } }))),
    el("hr"), toolButton("edit", "Edit", "e", icon(ICONS.edit)),
    el("button", { type: "button", title: "Undo (Ctrl+Z)", disabled: !regions.past.length, onclick: () => regions.undo() }, icon(ICONS.undo), "Undo"));
}

function layerRow(layer, text, { key, slider = false, swatch = null, changed } = {}) {
  const box = el("input", { type: "checkbox", checked: layer.on, onchange: (event) => { layer.on = event.target.checked; changed?.(); eye.redraw(); } });
  return el("div", { class: "layer" }, el("label", {}, box, swatch ? el("span", { class: "dot", style: { background: swatch } }) : null, text), el("span"), key ? el("kbd", { text: key }) : el("span"),
    slider ? el("input", { type: "range", min: 0.1, max: 1, step: 0.05, value: layer.opacity, "aria-label": `Opacity: ${text}`, oninput: (event) => { layer.opacity = Number(event.target.value); eye.redraw(); } }) : null);
}

function layersPage() {
  const { legend } = page;
  const pale = [...legend.patterns].reverse();
  return [
    el("section", {}, el("h2", { text: "Shown over the slide" }),
      layerRow(heat, "Heat map of tiles", { key: "H", slider: true }),
      page.slide.has_cells ? layerRow(cells, "Cell outlines by pattern", { key: "O", slider: true, changed: loadCells }) : null,
      page.slide.has_cells ? el("div", { class: "layer" }, el("label", {}, el("input", { type: "checkbox", checked: cells.others, onchange: (event) => { cells.others = event.target.checked; cells.refresh(); eye.redraw(); } }), "also cells that do not count")) : null,
      areas.map((area) => layerRow(area, area.area.label, { swatch: area.area.colour, key: area.area.kind === "tissue" ? "I" : "" })),
      layerRow(failed, `Tiles that could not be read (${failed.n})`, { swatch: failed.colour, key: "F" }),
      runRegions.shapes.length && work.review.regions?.version ? layerRow(runRegions, "Regions of the run (dashed)") : null,
      layerRow(regions, "Your regions", { key: "R" })),
    el("section", {}, el("h2", { text: "Colours" }), el("ul", { class: "legend" },
      pale.map((item) => el("li", {}, el("span", { class: "dot", style: { background: item.colour } }), item.label)))),
    el("section", {}, el("h2", { text: "Cells that do not count" }), el("ul", { class: "legend" },
      legend.classes.map((item) => el("li", {}, el("span", { class: "dot", style: { background: item.colour } }), item.code === "tumour" ? "Tumour, left out" : item.label)))),
    el("section", {}, el("h2", { text: "Regions" }), el("ul", { class: "legend" },
      Object.values(legend.regions).map((item) => el("li", {}, el("span", { class: "dot", style: { background: item.colour } }), item.label)))),
  ];
}

function showPanel() {
  const host = byId("panel");
  const reading = page.panel?.reviewed || page.panel?.run;
  const withheld = !reading;
  const shown = TABS.filter(([code]) => !(withheld && code === "layers"));
  if (withheld && ["reading", "layers"].includes(page.tab)) page.tab = "review";
  const kept = host.querySelector(".pages")?.scrollTop || 0;
  const same = host.dataset.tab === page.tab;
  const focus = document.activeElement?.id;
  const head = el("div", { class: "verdict" });
  verdict(head, { reading, before: page.panel?.reviewed ? page.panel.run : null, withheld, review: work.review });
  const tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "Panel" }, shown.filter(([code]) => !(withheld && code === "reading")).map(([code, text]) => el("button", {
    type: "button", role: "tab", id: `tab-${code}`, "aria-selected": String(page.tab === code), "aria-controls": "tab-page", tabIndex: page.tab === code ? 0 : -1,
    onclick: () => { page.tab = code; showPanel(); }, onkeydown: onTabKey,
  }, text)));
  const content = { reading: () => readingPage({ reading, histogram: page.histogram, fields: page.fields, visit: (box) => eye.visit(box) }), layers: layersPage,
    review: () => work.reviewPage(regions, { readingHeadline: reading?.headline, blinded: work.review.blinded ?? withheld }), history: () => work.historyPage() }[page.tab]();
  const body = el("div", { class: "pages", id: "tab-page", role: "tabpanel", tabIndex: 0, "aria-labelledby": `tab-${page.tab}` }, content);
  fill(host, head, tabs, body);
  host.dataset.tab = page.tab;
  if (same) body.scrollTop = kept;
  if (focus) byId(focus)?.focus();
  fill(byId("state"), stateBadge(work.review.status));
}

// Who else looks at the slide now; asked for again every 20 s, so that two do not work unseen.
function showEditors() {
  const others = work.review.editors || [];
  fill(byId("editors"), others.length ? el("span", { class: "badge warn", text: `Also open: ${others.join(", ")}` }) : null);
}

async function watch() {
  if (document.hidden || document.querySelector("dialog[open]")) return;
  try {
    const now = await getJson(slidePath(id, "/review"));
    work.review.editors = now.editors;
    showEditors();
    if (now.version !== work.review.version && now.version !== watch.told) {
      watch.told = now.version;
      if (regions.dirty) toast(`${now.events?.at(-1)?.user || "Someone"} has changed this slide. Your drawing stays; save it to see the change.`, "bad");
      else { await reload(); toast(`${now.events?.at(-1)?.user || "Someone"} has changed this slide: it is shown anew.`); }
    }
  } catch { /* the next look tells */ }
}

function onTabKey(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const codes = [...event.target.parentElement.children].map((node) => node.id);
  const next = codes[(codes.indexOf(event.target.id) + step + codes.length) % codes.length];
  event.stopPropagation();
  byId(next).click();
  byId(next).focus();
}

async function loadCells() {
  try { if (await cells.load(eye.view)) eye.redraw(); }
  catch (error) { cells.on = false; toast(sentence(error), "bad"); }
}

function closeCard() {
  eye.host.querySelector(".cell-card")?.remove();
  cells.chosen = null;
  eye.redraw();
}

async function pick(at, { nearest = false } = {}) {
  const cell = cells.at(at, { nearest });
  if (nearest && !cell) toast("There is no cell outline near the middle: show the cells (O) at 20× or more.");
  eye.host.querySelector(".cell-card")?.remove();
  cells.chosen = cell;
  eye.redraw();
  if (!cell) return;
  try {
    const facts = await getJson(slidePath(id, `/cells/${cell.id}`));
    const colour = facts.is_tumour ? cells.patterns[facts.pattern] : "#969696";
    eye.host.querySelector(".cell-card")?.remove();
    eye.host.append(cellCard(facts, colour, closeCard));
    announce(`Cell: ${facts.is_tumour ? facts.pattern_label : facts.class}`);
  } catch (error) { toast(error.message, "bad"); }
}

// The whole state of the review anew: after every change, and after someone else's.
async function reload({ conflict = false } = {}) {
  const dirty = regions.dirty && conflict;
  work.review = await getJson(slidePath(id, "/review"));
  regions.readonly = work.closed || Boolean(work.review.blinded);
  if (dirty) regions.version = work.review.version; // what was drawn stays; it is saved on top of what is there now
  else regions.adopt(work.review.version, work.review.regions?.features || [], page.slide.spacing_um || [1, 1]);
  if (regions.readonly) regions.use("move");
  showEditors();
  await loadReading();
  showTools();
  showPanel();
}

async function loadReading() {
  try {
    page.panel = await getJson(slidePath(id, "/panel"));
  } catch (error) {
    if (!error.withheld) throw error;
    page.panel = null;
    return;
  }
  if (!heat.loaded) {
    heat.loaded = true;
    page.slide = await getJson(slidePath(id));
    showTitle();
    areas = page.slide.areas.map((area) => new Area(id, area));
    eye.layers.unshift(...areas, heat, failed);
    await Promise.all([heat.load(id), ...areas.map((area) => area.load().catch(() => {}))]);
    // Not waited for: they fill in when they are there.
    Promise.all([getJson(slidePath(id, "/histogram")), getJson(slidePath(id, "/fields"))])
      .then(([histogram, { fields }]) => { page.histogram = histogram; page.fields = fields; if (page.tab === "reading") showPanel(); })
      .catch((error) => toast(error.message, "bad"));
  }
}

function showCompanions() {
  const others = page.slide.companions;
  byId("companion-pick").hidden = !others.length;
  fill(byId("companion"), el("option", { value: "", text: "nothing" }), others.map((one) => el("option", { value: one.slide_id, text: [one.block, one.name].filter(Boolean).join(" · ") || "other slide" })));
}

async function openBeside(other) {
  beside?.joined.undo();
  beside?.eye.destroy();
  byId("beside-eye")?.remove();
  beside = null;
  if (!other) { eye.redraw(); return; }
  const slide = await getJson(slidePath(other));
  const host = el("section", { class: "eye", id: "beside-eye", "aria-label": `Beside: ${slide.name}` }, el("div", { class: "plate label", text: slide.name }));
  byId("eyes").append(host);
  const second = new Eye(host, slide, page.legend.magnifications, { navigator: false });
  second.addEventListener("open", () => { beside = { eye: second, joined: join(eye, second) }; });
  if (slide.problem) toast(sentence(slide.problem), "bad");
}

function neighbour(step) {
  const order = JSON.parse(sessionStorage.getItem("her2:order") || "[]");
  return order.includes(id) ? order[order.indexOf(id) + step] : undefined;
}

function go(step) {
  const next = neighbour(step);
  if (next) location.assign(`/slide/${encodeURIComponent(next)}`);
}

function toggle(layer) {
  if (!layer) return;
  layer.on = !layer.on;
  if (layer === cells) { if (!cells.on) closeCard(); loadCells(); }
  if (page.tab === "layers") showPanel();
  eye.redraw();
}

const KEYS = {
  v: () => regions.use("move"), e: () => regions.use("edit"), h: () => page.panel && toggle(heat), o: () => page.panel && toggle(cells), f: () => toggle(failed), r: () => toggle(regions),
  i: () => toggle(areas.find((area) => area.area.kind === "tissue")), " ": () => regions.pin(), Enter: () => regions.close(),
  g: () => pick(eye.centre, { nearest: true }), ",": () => regions.nextCorner(-1), ".": () => regions.nextCorner(1), "?": () => showKeys(SLIDE_KEYS),
  Delete: () => regions.remove(), Backspace: () => regions.remove(), N: () => go(1), P: () => go(-1),
  ...Object.fromEntries(KINDS.map((kind) => [kind.key, () => regions.use(kind.code)])),
};

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event) {
  if (document.querySelector("dialog[open]") || event.altKey) return;
  const { tagName, type } = event.target;
  if (["TEXTAREA", "SELECT"].includes(tagName) || (tagName === "INPUT" && type !== "checkbox" && type !== "range")) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z") { event.preventDefault(); regions.undo(); return; }
  if (event.ctrlKey || event.metaKey) return;
  if (event.key === "Escape" && cells.chosen) { closeCard(); return; }
  if (event.key === "Escape") { if (regions.points || regions.tool !== "move") regions.use("move"); else location.assign("/"); return; }
  // Buttons, boxes and sliders keep the keys that work them.
  const own = ["BUTTON", "INPUT", "A"].includes(tagName);
  if (own && (event.key === " " || event.key === "Enter" || (type === "range" && event.key.startsWith("Arrow")))) return;
  if (byId("panel").contains(event.target) && event.key.startsWith("Arrow")) return;
  const arrow = ARROWS[event.key];
  if (arrow && event.shiftKey) {
    event.preventDefault();
    if (byId("beside-eye")?.contains(event.target)) beside?.joined.nudge(...arrow); else regions.nudge(...arrow);
    return;
  }
  if (eye.key(event.key)) { event.preventDefault(); return; }
  if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
}

function offerDraft(draft) {
  if (!draft) return;
  const stale = draft.version !== regions.version;
  const place = el("div", { class: "notice stage-notice", role: "status" },
    el("p", { text: stale ? "You have unsaved regions here, and the slide was changed since." : "You have unsaved regions here from before." }),
    el("div", { class: "buttons" },
      el("button", { type: "button", text: "Bring them back", onclick: () => { regions.restore(draft); place.remove(); } }),
      el("button", { type: "button", text: "Discard them", onclick: () => { regions.forget(); place.remove(); } })));
  byId("stage").prepend(place);
}

async function start() {
  const session = await openSession();
  byId("who").textContent = session.user;
  const [slide, legend, review] = await Promise.all([getJson(slidePath(id)), getJson("/api/legend"), getJson(slidePath(id, "/review"))]);
  Object.assign(page, { slide, legend });
  showTitle();
  showProblem();
  showCompanions();
  eye = new Eye(byId("main-eye"), slide, legend.magnifications);
  work = new Work(id, reload);
  work.review = review;
  heat = new HeatMap(legend.patterns.map((item) => item.colour));
  failed = new FailedTiles(heat, legend.failed_tile);
  cells = new Cells(id, legend);
  runRegions = new RunRegions(legend.regions);
  eye.layers.push(cells, runRegions);
  regions = new Regions(eye, legend.regions, { slide: id, run: slide.run, user: session.user });
  regions.readonly = work.closed || Boolean(work.review.blinded);
  const draft = regions.adopt(review.version, review.regions?.features || [], slide.spacing_um || [1, 1]);
  regions.addEventListener("change", () => { showTools(); showPanel(); });
  regions.addEventListener("say", (event) => announce(event.detail));
  regions.addEventListener("trouble", (event) => toast(event.detail, "bad"));
  eye.addEventListener("settled", loadCells);
  eye.addEventListener("pick", (event) => pick(event.detail));
  await loadReading();
  if (page.panel === null) page.tab = "review";
  showTools();
  showPanel();
  showEditors();
  setInterval(watch, 20_000);
  offerDraft(regions.readonly ? null : draft);
  runRegions.load(id).then(() => { runRegions.on = Boolean(review.regions?.version); eye.redraw(); }).catch(() => {});
  announce(`Slide opened. ${state(review.status).text}.`);
  window.her2 = { eye, regions, cells, heat, beside: () => beside?.eye }; // for tests and for the curious
}

document.addEventListener("keydown", onKey);
for (const [name, step] of [["previous", -1], ["next", 1]]) {
  byId(name).disabled = !neighbour(step);
  byId(name).addEventListener("click", () => go(step));
}
byId("keys-help").addEventListener("click", () => showKeys(SLIDE_KEYS));
byId("companion").addEventListener("change", (event) => openBeside(event.target.value).catch((error) => toast(error.message, "bad")));
start().catch((error) => {
  // Nothing can be shown: the reason stands where the slide would, and does not go away.
  fill(byId("problem"), el("p", {}, el("b", { text: sentence(error) })), el("p", {}, el("a", { href: "/", text: "Back to the work list" })));
  byId("problem").hidden = false;
});
