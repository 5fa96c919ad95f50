// What a reader does: regions, decision, ISH, second reader, checklist, signature, history.

import { ask, el, toast } from "./dom.js";
import { local, post, slidePath, tokenAgain } from "./api.js";
import { scoreWords, sentence, tierWords, when, words } from "./format.js";

export const KINDS = [
  { code: "tumour", text: "Invasive tumour", short: "Tumour", key: "t" },
  { code: "in_situ", text: "In situ", short: "In situ", key: "s" },
  { code: "exclude", text: "Exclude", short: "Exclude", key: "x" },
  { code: "control", text: "Control tissue", short: "Control", key: "c" },
];
const SCORES = ["0", "1+", "2+", "3+", "not_scorable"];
const TIERS = { 0: [["her2_null", "null"], ["her2_ultralow", "ultralow"]], "1+": [["her2_low", "low"]], "2+": [["her2_equivocal", "equivocal"], ["her2_low", "low (ISH negative)"], ["her2_positive", "positive (ISH positive)"]], "3+": [["her2_positive", "positive"]] };
const REASONS = [
  ["in_situ_counted", "In situ carcinoma was counted"], ["control_counted", "Control tissue was counted"], ["artefact", "Artefact"],
  ["cytoplasmic", "Cytoplasmic, not membranous"], ["tumour_missed", "Tumour was missed"], ["other", "Other (say which)"],
];
export const CHECKS = [
  ["controls_passed", "The controls of this stain run passed"],
  ["invasive_region_verified", "I have verified the invasive region"],
  ["no_unresolved_failed_area", "No failed or excluded area is left that could change the score"],
];

const field = (label, input) => el("label", { class: "field" }, label, input);
const options = (rows, chosen) => rows.map(([value, text]) => el("option", { value, text, selected: value === chosen }));

// A score with its tier, asked for only where the score leaves it open.
function scoreAndTier(label, props, choices) {
  const tier = el("select", { name: "tier" });
  const row = field("Tier", tier);
  const show = (score) => { row.hidden = (TIERS[score] || []).length < 2; tier.replaceChildren(...options(TIERS[score] || [["", ""]])); };
  const score = el("select", { ...props, onchange: (event) => show(event.target.value) }, choices);
  show(score.value);
  return [field(label, score), row];
}

// Everything that writes passes here: one version, one error path, and the state anew afterwards.
export class Work {
  constructor(id, reload) { Object.assign(this, { id, reload, review: null }); }

  async send(action, body) {
    try {
      const version = action === "read" ? {} : { expected: this.review.version };
      const answer = await post(slidePath(this.id, `/${action}`), { ...version, ...body });
      await this.reload();
      return answer;
    } catch (error) {
      if (error.status === 409) await this.reload({ conflict: true });
      throw error;
    }
  }

  async try(action, body, done) {
    try { await this.send(action, body); toast(done); return true; }
    catch (error) { toast(sentence(error), "bad"); return false; }
  }

  get closed() { return ["signed", "addendum"].includes(this.review?.status); }

  agree() { return this.try("decision", { kind: "agree", ihc_score: null, tier: null, reason: null, text: "" }, "Agreed"); }

  async override(current) {
    const done = await ask("Override the score", [
      scoreAndTier("Your score", { name: "ihc_score", required: true }, options(SCORES.map((one) => [one, scoreWords(one)]), current)),
      field("Reason", el("select", { name: "reason", required: true }, el("option", { value: "", text: "Choose a reason" }), options(REASONS))),
      field("In words", el("textarea", { name: "text", rows: 3, maxLength: 2000 })),
    ], { action: "Override", check: (data) => this.send("decision", { kind: "override", ...data, tier: data.tier || null }) });
    if (done) toast(`Overridden: ${scoreWords(done.ihc_score)}`);
  }

  async read() {
    await ask("Lock your read", [
      el("p", { text: "A locked read is not changed any more. The program's reading is shown after your first one." }),
      scoreAndTier("Your score", { name: "score", required: true }, options([["", "Choose a score"], ...SCORES.map((one) => [one, scoreWords(one)])])),
    ], { action: "Lock", check: (data) => this.send("read", { score: data.score, tier: data.tier || null }) });
  }

  async ish() {
    const number = (name, label) => field(label, el("input", { type: "number", name, min: 0, step: 1, inputMode: "numeric" }));
    const done = await ask("In-situ hybridisation", [
      el("p", { class: "muted", text: "Sums over the counted cells, or the laboratory's call. Both are kept." }),
      field("Probe", el("select", { name: "probe" }, options([["dual", "dual"], ["single", "single"]]))),
      number("cells", "Cells counted"), number("her2_total", "HER2 signals, all cells"), number("cep17_total", "CEP17 signals, all cells"),
      field("Call", el("select", { name: "call" }, options([["", "by the counts"], ["positive", "positive"], ["negative", "negative"], ["indeterminate", "indeterminate"], ...[1, 2, 3, 4, 5].map((n) => [`group ${n}`, `group ${n}`])]))),
      field("In words", el("input", { type: "text", name: "text", maxLength: 500 })),
    ], { action: "Save", check: (data) => {
      const numbers = Object.fromEntries(["cells", "her2_total", "cep17_total"].map((name) => [name, data[name] === "" ? null : Number(data[name])]));
      if (!data.call && (numbers.cells === null || numbers.her2_total === null)) throw new Error("Give the counts, or a call.");
      const given = { probe: data.probe, ...numbers, call: data.call || null };
      const reading = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
      return this.send("ish", { readings: [reading], text: data.text });
    } });
    if (done) toast("ISH saved");
  }

  async secondReader() {
    const done = await ask("Ask for a second reader", [field("What should be looked at?", el("textarea", { name: "text", rows: 3, required: true, maxLength: 2000 }))],
      { action: "Ask", check: (data) => this.send("second-reader", data) });
    if (done) toast("A second reader is asked for");
  }

  async addendum() {
    const done = await ask("Addendum", [
      el("p", { class: "muted", text: "A signed slide is not changed. An addendum stands beside the signature." }),
      field("Text", el("textarea", { name: "text", rows: 4, required: true, maxLength: 4000 })),
      scoreAndTier("Corrected score", { name: "ihc_score" }, options([["", "none"], ...SCORES.map((one) => [one, scoreWords(one)])])),
    ], { action: "Add", check: (data) => this.send("addendum", { text: data.text, ihc_score: data.ihc_score || null, tier: data.tier || null }) });
    if (done) toast("Addendum saved");
  }

  async sign(facts) {
    const ticked = this.review.checklist || {};
    // "Not scorable" states no score: a control that failed may be its reason.
    const needed = this.review.decision.ihc_score !== "not_scorable";
    const boxes = CHECKS.map(([name, text]) => el("label", { class: "check" }, el("input", { type: "checkbox", name, checked: Boolean(ticked[name]), required: needed }), el("span", { text })));
    const done = await ask("Sign", [
      el("dl", { class: "facts signing" }, facts.map(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })])),
      el("div", { role: "group", "aria-label": "Checklist" }, boxes),
      field("Note (needed where tiles could not be read)", el("input", { type: "text", name: "note", maxLength: 500, value: ticked.note || "" })),
      local() ? field("Token of this start (filled in; her2 review printed it)", el("input", { type: "password", name: "token", autocomplete: "off", value: tokenAgain(), required: true }))
        : field("Your password", el("input", { type: "password", name: "password", autocomplete: "current-password", required: true })),
    ], { action: "Sign", check: (data) => {
      const checklist = Object.fromEntries(CHECKS.map(([name]) => [name, data[name] === "on"]));
      return this.send("sign", { checklist, note: data.note || "", ...(local() ? { token: data.token } : { password: data.password }) });
    } });
    if (done) toast("Signed");
  }

  reviewPage(regions, { readingHeadline, blinded }) {
    const { review } = this;
    if (blinded) {
      const reads = review.reads || [];
      return [el("section", {}, el("h2", { text: "Your reads" }),
        el("p", { class: "muted", text: "A blinded study is on: slides are read and not changed. Lock a score before the program's reading is shown, and one after." }),
        el("ul", { class: "steps" }, reads.map((read) => el("li", {}, el("span", { class: "badge", text: read.phase === "pre" ? "before" : "after" }), el("b", { text: scoreWords(read.score) }), read.tier ? words(read.tier) : ""))),
        reads.length < 2 ? el("div", { class: "buttons" }, el("button", { type: "button", class: "primary wide", onclick: () => this.read(), text: reads.length ? "Lock your second read" : "Lock a read" })) : null)];
    }
    const button = (text, onclick, props = {}) => el("button", { type: "button", onclick, text, ...props });
    const { decision, signature } = review;
    const shut = this.closed;
    return [
      el("section", {}, el("h2", { text: "1 · Regions" }), this.#regionList(regions, shut)),
      el("section", {}, el("h2", { text: "2 · Decision" }),
        decision ? el("p", {}, el("b", { text: decision.kind === "agree" ? `Agreed: ${scoreWords(decision.ihc_score || readingHeadline)}` : `Overridden: ${scoreWords(decision.ihc_score)}` }),
          decision.stale ? el("span", { class: "badge warn", text: "the result has changed since" }) : null, decision.reason ? ` · ${words(decision.reason)}` : "", decision.text ? ` · ${decision.text}` : "") : el("p", { class: "muted", text: "None yet." }),
        shut ? null : el("div", { class: "buttons" },
          button("Agree", () => this.agree(), { class: "wide", disabled: shut || regions.dirty }),
          button("Override…", () => this.override(readingHeadline), { class: "wide", disabled: shut || regions.dirty }))),
      el("section", {}, el("h2", { text: "3 · ISH and second reader" }),
        review.ish ? el("p", { class: "muted", text: ishWords(review.ish) }) : null,
        el("div", { class: "buttons" }, button("Enter ISH…", () => this.ish(), { class: "wide" }),
          button("Second reader…", () => this.secondReader(), { class: "wide", disabled: shut }))),
      el("section", {}, el("h2", { text: "4 · Sign" }),
        review.superseded?.length && !signature ? el("p", { class: "notice bad" }, `${review.superseded.at(-1).by} signed ${scoreWords(review.superseded.at(-1).ihc_score)} on ${when(review.superseded.at(-1).at)}. The run has scored the slide again since: it has to be decided and signed anew.`) : null,
        signature ? el("p", { class: "notice good" }, `${scoreWords(signature.ihc_score)} signed by ${signature.by} on ${when(signature.at)}.`)
          : el("ul", { class: "steps muted" }, CHECKS.map(([, text]) => el("li", {}, "·", el("span", { text })))),
        (review.addenda || []).map((item) => el("p", { class: "notice" }, el("b", { text: item.ihc_score ? `Addendum, corrected to ${scoreWords(item.ihc_score)}: ` : "Addendum: " }), item.text, el("span", { class: "muted", text: ` ${item.by}, ${when(item.at)}` }))),
        el("div", { class: "buttons" }, shut ? button("Addendum…", () => this.addendum(), { class: "wide" })
          : button("Sign…", () => this.sign(this.#signing(regions, readingHeadline)), { class: "primary wide", disabled: !decision || regions.dirty })),
        !shut && regions.dirty ? el("p", { class: "was muted", text: "Save or discard your regions first." }) : null),
    ];
  }

  // What the signature says, and beside it what the program says: both are looked at before signing.
  #signing(regions, programs) {
    const { decision } = this.review;
    const kind = decision.kind === "agree" ? "agrees with the program" : `overrides the program: ${words(decision.reason || "")}`;
    return [
      ["You sign", [scoreWords(decision.ihc_score || programs), tierWords(decision.tier)].filter(Boolean).join(", ")],
      ["This", kind], ["The program's score", programs],
      ["Counted in", this.review.regions?.version ? `your regions (${regions.shapes.length})` : "the program's choice of tumour"],
    ];
  }

  #regionList(regions, shut) {
    const text = Object.fromEntries(KINDS.map((kind) => [kind.code, kind.text]));
    const rows = regions.shapes.map((shape, index) => el("li", { class: index === regions.chosen ? "chosen" : "" },
      el("span", { class: "dot", style: { background: regions.palette[shape.kind]?.colour || "#777" } }),
      el("button", { type: "button", class: "grow", onclick: () => { if (!shut) regions.use("edit"); regions.choose(index); regions.eye.visit(boxOf(shape.rings[0])); } }, `${text[shape.kind] || words(shape.kind)} ${index + 1}`),
      el("span", { class: "muted", text: mm2(shape.rings[0]) }),
      shut ? null : el("button", { type: "button", class: "quiet danger", "aria-label": `Delete region ${index + 1}`, onclick: () => regions.remove(index), text: "Delete" })));
    return [
      rows.length ? el("ul", { class: "work-list" }, rows) : el("p", { class: "muted", text: "None drawn. Choose a kind on the left and draw around an area; or its points with Space and Enter." }),
      shut ? null : el("div", { class: "buttons" },
        el("button", { type: "button", id: "save-regions", class: regions.dirty ? "primary wide" : "wide", disabled: shut || !regions.dirty, onclick: () => this.saveRegions(regions), text: "Save and count again" }),
        el("button", { type: "button", disabled: !regions.dirty, onclick: () => regions.discard(), text: "Discard" })),
    ];
  }

  async saveRegions(regions) {
    if (!regions.dirty || this.closed) return;
    if (await this.try("regions", { features: regions.features(), unit: "um" }, "Saved and counted again")) regions.forget();
  }

  historyPage() {
    const events = [...(this.review.events || [])].reverse();
    if (!events.length) return el("section", {}, el("p", { class: "muted", text: "Nothing has happened yet." }));
    return el("section", {}, el("h2", {}, "History ", el("small", { text: "append-only, each event bound to the one before" })),
      el("ol", { class: "events" }, events.map((event) => el("li", {},
        el("div", { class: "head-line" }, el("b", { text: words(event.kind) }), el("span", { class: "muted", text: when(event.at) })),
        el("div", {}, event.user, event.why ? ` · ${event.why}` : ""),
        el("div", { class: "change", text: change(event) }),
        event.hash || event.sha256 ? el("code", { text: `#${event.number} ${String(event.hash || event.sha256).slice(0, 12)}` }) : null))));
  }
}

const boxOf = (ring) => {
  const [xs, ys] = [ring.map((p) => p[0]), ring.map((p) => p[1])];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return [x, y, Math.max(...xs) - x, Math.max(...ys) - y];
};

const mm2 = (ring) => {
  const um2 = Math.abs(ring.reduce((sum, [x, y], i) => { const [u, v] = ring[(i + 1) % ring.length]; return sum + x * v - u * y; }, 0) / 2);
  return `${(um2 / 1e6).toFixed(um2 < 1e5 ? 3 : 2)} mm²`;
};

function ishWords(ish) {
  const { clause, category, status } = ish.decision || {};
  if (clause || category) return [category && words(category), clause || (status && words(status))].filter(Boolean).join(": ");
  return Object.entries(ish.readings?.at(-1) || {}).filter(([, value]) => value !== null && value !== "" && typeof value !== "object").map(([name, value]) => `${words(name)} ${value}`).join(" · ");
}

// Long things (outlines, readings) are counted, not printed.
function change({ before, after }) {
  const short = (value) => (Array.isArray(value) ? `${value.length} items` : value !== null && typeof value === "object" ? `${Object.keys(value).length} fields` : String(value ?? "–").slice(0, 60));
  return Object.entries(after || {}).filter(([name, value]) => value !== null && !/sha256|document|result|basis|hash/.test(name) && !/^[0-9a-f]{64}$/.test(value))
    .map(([name, value]) => (before && name in before && short(before[name]) !== short(value) ? `${words(name)}: ${short(before[name])} → ${short(value)}` : `${words(name)}: ${short(value)}`)).join(" · ");
}
