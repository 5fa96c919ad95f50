// The panel's first page: score, reasons, patterns, histogram, fields, provenance.

import { el, fill, svg } from "./dom.js";
import { count, scoreWords, state, tierWords, when } from "./format.js";

export function verdict(host, { reading, before, withheld, review }) {
  if (withheld) {
    fill(host, el("div", { class: "big" }, el("b", { class: "none", text: "Hidden" })),
      el("p", { class: "clause", text: "Score, heat map and flags are shown after your first read is locked." }));
    return;
  }
  const scored = reading.status === "scored";
  const { signature } = review;
  const said = ({ headline, tier, clause }) => (clause?.startsWith(headline) ? clause : [headline, tier].filter(Boolean).join(" "));
  fill(host,
    signature ? signed(review) : el("div", { class: "big" },
      el("b", { class: scored ? "" : "none", id: "score", text: reading.headline }),
      el("span", { text: reading.tier || (scored ? "" : reading.status_words) })),
    decided(review, reading),
    reading.clause ? el("p", { class: "clause" }, signature ? el("b", { text: "Program: " }) : null, unbroken(reading.clause)) : null,
    before ? el("p", { class: "was", id: "was", text: `Counted in the reviewer's regions. The run's own choice gave ${said(before)}.` }) : null,
    reading.lines.map((line) => el("p", { class: "was", text: unbroken(line) })),
    el("div", { class: "badges" },
      reading.borderline ? el("span", { class: "badge warn", text: "Close to a cut-off" }) : null,
      reading.ish_reflex ? el("span", { class: "badge warn", text: "ISH needed" }) : null,
      reading.region_source === "reviewed" ? el("span", { class: "badge good", text: "Region reviewed" })
        : el("span", { class: "badge", text: "Region not verified" }),
      signature ? el("span", { class: "badge good", text: "Signed" }) : null,
      review.superseded?.length && !signature ? el("span", { class: "badge bad", text: "Signature superseded" }) : null));
}

// A signature stands above the program's score: what was signed is what the slide is.
function signed({ signature, addenda, final_score: final }) {
  const corrected = (addenda || []).filter((item) => item.ihc_score && item.version > signature.version).at(-1);
  const { by, at } = corrected || signature;
  return [el("div", { class: "big" }, el("b", { id: "score", class: final === "not_scorable" ? "none" : "", text: scoreWords(final) }), el("span", { text: tierWords((corrected || signature).tier) })),
    el("p", { class: "was", text: `${corrected ? `Corrected from ${scoreWords(signature.ihc_score)} by addendum,` : "Signed by"} ${by}, ${when(at)}` })];
}

// An override that nobody has signed yet: said beside the program's score, never in its place.
function decided({ decision, signature }, reading) {
  if (signature || !decision || decision.stale || decision.ihc_score === reading.headline) return null;
  return el("p", { class: "notice decided", text: `${decision.by} overrides to ${scoreWords(decision.ihc_score)}; not signed yet.` });
}

export function readingPage({ reading, histogram, fields, visit }) {
  return [
    reading.reasons.length || reading.error ? section("Why there is no score", [
      ...reading.reasons.map((why) => el("div", { class: "notice" }, el("p", {}, el("b", { text: why.title })), el("p", { text: why.sentence }), el("p", { class: "muted", text: why.fix }))),
      reading.error ? el("p", { class: "muted", text: `${reading.error.message} ${reading.error.fix || ""}` }) : null,
    ]) : null,
    reading.patterns.length ? section(["Membrane patterns ", el("small", { text: `${count(reading.n_tumour_cells)} ${reading.counted}` })], patternBars(reading)) : null,
    histogram?.bars?.length && reading.patterns.length ? section(["Membrane optical density ", el("small", { text: "cells that count" })], histogramOf(histogram, reading.patterns)) : null,
    fields.length ? section("Most telling fields", el("div", { class: "fields" }, fields.map((field) => el("button", {
      type: "button", onclick: () => visit(field.box_um),
    }, el("span", { class: "dot", style: { background: field.colour } }), `${field.label} (${count(field.count)})`)))) : null,
    reading.flags.length || reading.warnings.length ? section("What to doubt", el("ul", { class: "doubts" },
      reading.flags.map((flag) => el("li", {}, el("b", { text: flag.title }), flag.sentence)),
      reading.warnings.map((text) => el("li", { text })))) : null,
    reading.quality.length ? section("Checks", table(reading.quality)) : null,
    section("Provenance", table(reading.provenance)),
  ];
}

// A number stays on one line with its unit.
const unbroken = (text) => text.replace(/(\d) (?=%|percentage)/g, "$1\u00a0");

const section = (title, ...content) => el("section", {}, el("h2", {}, title), content);

const table = (rows) => el("dl", { class: "facts" }, rows.map(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })]));

// The five patterns on one scale, with the guideline's 10 % and the interval of the deciding share.
function patternBars(reading) {
  const { patterns, interval, cutoff_pct: cut } = reading;
  const most = Math.max(20, ...patterns.map((row) => row.pct), interval?.high || 0);
  const end = most <= 25 ? 25 : most <= 50 ? 50 : 100;
  const at = (pct) => `${(100 * Math.min(pct, end)) / end}%`;
  const line = (label, value, ...inside) => el("div", { class: "line" }, el("span", { text: label }), el("span", { text: value }),
    el("div", { class: "track" }, inside, el("div", { class: "cut", style: { left: at(cut) } })));
  const rows = patterns.map((row) => line(row.label, `${row.text} · ${count(row.count)}`,
    el("div", { class: "fill", style: { width: at(row.pct), background: row.colour } })));
  const whisker = interval && line("Interval of the share that decided", interval.text, el("div", { class: "whisker", style: { left: at(interval.low), width: `calc(${at(interval.high)} - ${at(interval.low)})` } }));
  return [el("div", { class: "bars" }, rows, whisker),
    el("div", { class: "axis", "aria-hidden": "true" }, el("span", { class: "first", text: "0", style: { left: "0" } }),
      el("span", { text: `${cut} %`, style: { left: at(cut) } }), el("span", { class: "last", text: `${end} %`, style: { left: "100%" } }))];
}

function histogramOf({ step, bars }, patterns) {
  const colours = [...patterns].reverse().map((row) => row.colour);
  const totals = bars.map((own) => own.reduce((a, b) => a + b, 0));
  let last = totals.findLastIndex((n) => n > 0);
  last = Math.min(bars.length - 1, Math.max(15, last + 1));
  const top = Math.max(1, ...totals);
  const [width, height, foot] = [336, 116, 18];
  const wide = width / (last + 1);
  const mean = totals.reduce((sum, n, i) => sum + n * (i + 0.5) * step, 0) / Math.max(1, totals.reduce((a, b) => a + b, 0));
  const picture = svg("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Histogram of membrane optical density; mean about ${mean.toFixed(2)}` });
  for (let i = 0; i <= last; i += 1) {
    let y = height - foot;
    bars[i].forEach((n, code) => {
      const high = (n / top) * (height - foot - 4);
      if (!n) return;
      y -= high;
      picture.append(svg("rect", { x: i * wide + 0.5, y, width: Math.max(1, wide - 1), height: high, fill: colours[code] }));
    });
  }
  picture.append(svg("line", { x1: 0, x2: width, y1: height - foot + 0.5, y2: height - foot + 0.5, stroke: "#9aa2ac" }));
  for (let od = 0; od <= (last + 1) * step + 1e-9; od += 0.2) {
    const x = (od / step) * wide;
    if (x > width - 12) break; // no room for its label
    picture.append(svg("text", { x, y: height - 4, "text-anchor": od === 0 ? "start" : "middle" }, `${od.toFixed(1)}${od === 0 ? " OD" : ""}`));
  }
  return picture;
}

// Outline of a cell's membrane by sector: length and darkness say how much DAB there is.
export function cellCard(cell, colour, close) {
  const size = 132;
  const middle = size / 2;
  const rose = svg("svg", { class: "rose", width: size, height: size, viewBox: `0 0 ${size} ${size}`, role: "img",
    "aria-label": `Membrane optical density in 32 sectors, from ${Math.min(...cell.sectors_od).toFixed(2)} to ${Math.max(...cell.sectors_od).toFixed(2)}` });
  rose.append(svg("circle", { cx: middle, cy: middle, r: 28, fill: "#f3f5f7", stroke: "#c3c9d1" }));
  const top = Math.max(0.3, ...cell.sectors_od);
  cell.sectors_od.forEach((od, k) => {
    const [from, to] = [((k - 0.46) * 2 * Math.PI) / 32, ((k + 0.46) * 2 * Math.PI) / 32];
    const [inner, outer] = [30, 30 + (34 * od) / top];
    const corner = (r, a) => `${(middle + r * Math.cos(a)).toFixed(1)} ${(middle + r * Math.sin(a)).toFixed(1)}`;
    rose.append(svg("path", { d: `M${corner(inner, from)} L${corner(outer, from)} L${corner(outer, to)} L${corner(inner, to)} Z`, fill: "#7a4a1c", "fill-opacity": (0.25 + (0.75 * od) / top).toFixed(2) }));
  });
  const value = svg("text", { x: middle, y: middle + 4, "text-anchor": "middle", "font-size": 12, fill: "#1c2026" }, `${Math.round(100 * cell.completeness)} %`);
  rose.append(value);
  return el("div", { class: "plate cell-card", role: "region", "aria-label": "Cell" },
    el("h2", {}, el("span", { class: "dot", style: { background: colour } }), cell.is_tumour ? cell.pattern_label : cell.class),
    el("button", { type: "button", class: "close", "aria-label": "Close", onclick: close, text: "×" }),
    rose,
    table([
      ["Membrane OD", `${cell.membrane_od.toFixed(2)} (${cell.intensity})`],
      ["where stained", cell.membrane_od_stained.toFixed(2)],
      ["Completeness", `${Math.round(100 * cell.completeness)} %, ${cell.complete ? "complete" : "incomplete"}`],
      ["Cytoplasm OD", cell.cytoplasm_od === null ? "–" : cell.cytoplasm_od.toFixed(2)],
      ["Tumour probability", `${Math.round(100 * cell.tumour_probability)} %`],
      ["Area", `${Math.round(cell.area_um2)} µm²`],
    ]));
}

export const stateBadge = (code) => el("span", { class: `badge ${state(code).kind}`, text: state(code).text });
