// One view of one slide in µm: pictures by OpenSeadragon, scale bar, magnification, keyboard.

import { el } from "./dom.js";
import { slidePath } from "./api.js";
import { length } from "./format.js";

const OSD = () => window.OpenSeadragon;

// Square pixels of the finest level; the address of a square is the server's.
function tileSource(slide) {
  const { width, height, tile_px: tile, max_level: top } = slide.picture;
  return {
    width, height, tileSize: tile, tileOverlap: 0, minLevel: Math.max(0, top - Math.ceil(Math.log2(Math.max(width, height) / tile))), maxLevel: top,
    getTileUrl: (level, x, y) => slidePath(slide.slide_id, `/tiles/${level}/${x}_${y}.jpg`),
  };
}

export class Eye extends EventTarget {
  constructor(host, slide, steps, { navigator = true } = {}) {
    super();
    Object.assign(this, { host, slide, steps, layers: [] });
    const picture = slide.picture;
    this.width = picture ? picture.width * picture.mpp : slide.grid_um?.[2] || 1000;
    this.height = picture ? picture.height * picture.mpp : slide.grid_um?.[3] || 1000;
    const stage = el("div", { class: "osd" });
    this.canvas = el("canvas", { class: "over", "aria-hidden": "true" });
    host.append(stage);
    this.osd = OSD()({
      element: stage, drawer: "canvas", showNavigationControl: false, prefixUrl: "", tabIndex: 0,
      showNavigator: navigator, navigatorPosition: "TOP_RIGHT", navigatorSizeRatio: 0.16, navigatorAutoFade: false, navigatorOpacity: 1,
      maxZoomPixelRatio: 4, minZoomImageRatio: 0.5, visibilityRatio: 0.2, constrainDuringPan: true, animationTime: 0.35, springStiffness: 9,
      imageLoaderLimit: 6, maxImageCacheCount: 400, blendTime: 0, immediateRender: true, placeholderFillStyle: "#fbfbfc", zoomPerScroll: 1.35,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: false }, gestureSettingsTouch: { clickToZoom: false },
    });
    this.osd.navigator?.element.classList.add("navigator");
    this.#addPictures();
    this.#addPlates();
    const canvas = this.osd.canvas;
    canvas.append(this.canvas); // below the overview map
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", `${slide.name}: arrow keys move, plus and minus zoom, 1 to 5 choose a magnification, 0 shows all`);
    this.osd.addHandler("canvas-key", (event) => { event.preventDefaultAction = true; });
    for (const name of ["update-viewport", "resize", "animation"]) this.osd.addHandler(name, () => this.redraw());
    for (const name of ["animation-finish", "open", "resize"]) this.osd.addHandler(name, () => this.#settled());
    this.osd.addHandler("canvas-click", (event) => {
      if (event.quick) this.dispatchEvent(new CustomEvent("pick", { detail: this.toUm(event.position) }));
    });
    new ResizeObserver(() => this.redraw()).observe(host);
  }

  // The stored overview shows at once, and stays where the slide file is gone.
  #addPictures() {
    const { slide } = this;
    const world = this.osd.world;
    let started = false;
    const first = () => { if (!started) { started = true; this.home(true); this.dispatchEvent(new Event("open")); } };
    const addSlide = () => {
      if (!slide.picture || slide.problem) return;
      this.osd.addTiledImage({ tileSource: tileSource(slide), x: 0, y: 0, width: 1, success: first, error: first });
    };
    world.addHandler("add-item", () => requestAnimationFrame(() => this.redraw()));
    if (!slide.backdrop) { addSlide(); if (!slide.picture || slide.problem) first(); return; }
    const [x, y, width] = slide.grid_um;
    this.osd.addTiledImage({
      tileSource: { type: "image", url: slidePath(slide.slide_id, "/backdrop.jpg"), buildPyramid: false },
      x: x / this.width, y: y / this.width, width: width / this.width, success: () => { first(); addSlide(); }, error: addSlide,
    });
  }

  #addPlates() {
    const buttons = this.steps.map((step) => el("button", {
      type: "button", "aria-pressed": "false", title: `${step.power} times: ${step.mpp} µm per pixel`, onclick: () => this.magnify(step.power),
    }, `${step.power}×`));
    this.fit = el("button", { type: "button", onclick: () => this.home() }, "Fit");
    this.mags = el("div", { class: "plate mags", role: "group", "aria-label": "Magnification" }, this.fit, buttons);
    this.rule = el("div", { class: "rule" });
    this.ruleText = el("span");
    this.magText = el("span", { class: "muted" });
    this.host.append(this.mags, el("div", { class: "plate scale" }, el("div", { class: "rule-box" }, this.ruleText, this.rule), this.magText));
    this.buttons = buttons;
  }

  // µm per CSS pixel as drawn now, and the place of the upper left corner.
  get frame() {
    const bounds = this.osd.viewport.getBounds(true);
    const box = this.osd.viewport.getContainerSize();
    const mpp = (bounds.width * this.width) / Math.max(1, box.x);
    return { mpp, left: bounds.x * this.width, top: bounds.y * this.width, width: box.x, height: box.y };
  }

  get view() {
    const { mpp, left, top, width, height } = this.frame;
    return { left, top, right: left + width * mpp, bottom: top + height * mpp, mpp };
  }

  toUm(pixel) {
    const { mpp, left, top } = this.frame;
    return { x: left + pixel.x * mpp, y: top + pixel.y * mpp };
  }

  get power() { return 10 / this.frame.mpp; }

  get centre() {
    const { left, top, right, bottom } = this.view;
    return { x: (left + right) / 2, y: (top + bottom) / 2 };
  }

  show({ x, y, mpp, immediately = false }) {
    const viewport = this.osd.viewport;
    const size = viewport.getContainerSize();
    const width = (mpp * size.x) / this.width;
    const height = (mpp * size.y) / this.width;
    viewport.fitBounds(new (OSD().Rect)(x / this.width - width / 2, y / this.width - height / 2, width, height), immediately);
  }

  magnify(power) { this.show({ ...this.centre, mpp: 10 / power }); }

  home(immediately = false) {
    const [x, y, width, height] = this.slide.grid_um || [0, 0, this.width, this.height];
    const size = this.osd.viewport.getContainerSize();
    const mpp = 1.04 * Math.max(width / Math.max(1, size.x), height / Math.max(1, size.y));
    this.show({ x: x + width / 2, y: y + height / 2, mpp, immediately });
  }

  // A box of interest fills three quarters of the view.
  visit([x, y, width, height]) {
    const size = this.osd.viewport.getContainerSize();
    this.show({ x: x + width / 2, y: y + height / 2, mpp: Math.max(width / size.x, height / size.y) / 0.75 });
  }

  zoomBy(factor) { this.show({ ...this.centre, mpp: this.frame.mpp / factor }); }

  panBy(dx, dy) {
    const { mpp, width, height } = this.frame;
    const { x, y } = this.centre;
    this.show({ x: x + dx * width * mpp, y: y + dy * height * mpp, mpp });
  }

  redraw() {
    this.pending ||= requestAnimationFrame(() => { this.pending = 0; this.#draw(); });
  }

  #draw() {
    const box = this.host.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    if (!box.width || !this.osd.viewport) return;
    const { canvas } = this;
    if (canvas.width !== Math.round(box.width * ratio) || canvas.height !== Math.round(box.height * ratio)) {
      canvas.width = Math.round(box.width * ratio);
      canvas.height = Math.round(box.height * ratio);
      canvas.style.width = `${box.width}px`;
      canvas.style.height = `${box.height}px`;
    }
    const { mpp, left, top } = this.frame;
    const ctx = canvas.getContext("2d");
    ctx.restore();
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    const scale = ratio / mpp;
    ctx.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
    // Layers draw in µm; px is the length of a CSS pixel there.
    // The last tiles of the grid reach beyond the slide: nothing is said about what is not there.
    ctx.beginPath();
    ctx.rect(0, 0, this.width, this.height);
    ctx.clip();
    for (const layer of this.layers) if (layer.on) { ctx.save(); layer.draw(ctx, { px: mpp, view: this.view }); ctx.restore(); }
    this.#drawScale(mpp);
    this.dispatchEvent(new Event("moved"));
  }

  #drawScale(mpp) {
    const steps = [1, 2, 5];
    let um = 1;
    for (let power = 0; power < 6; power += 1) for (const step of steps) if ((step * 10 ** power) / mpp <= 130) um = step * 10 ** power;
    this.rule.style.width = `${um / mpp}px`;
    this.ruleText.textContent = length(um);
    const power = 10 / mpp;
    this.magText.textContent = `${power >= 10 ? Math.round(power) : power.toFixed(1)}×`;
    this.steps.forEach((step, index) => this.buttons[index].setAttribute("aria-pressed", String(Math.abs(step.power / power - 1) < 0.02)));
  }

  #settled() {
    this.redraw();
    clearTimeout(this.settle);
    this.settle = setTimeout(() => this.dispatchEvent(new Event("settled")), 60);
  }

  key(key) {
    const step = 0.2;
    const moves = {
      ArrowLeft: () => this.panBy(-step, 0), ArrowRight: () => this.panBy(step, 0), ArrowUp: () => this.panBy(0, -step), ArrowDown: () => this.panBy(0, step),
      "+": () => this.zoomBy(1.5), "=": () => this.zoomBy(1.5), "-": () => this.zoomBy(1 / 1.5), 0: () => this.home(),
    };
    this.steps.forEach((one, index) => { moves[index + 1] = () => this.magnify(one.power); });
    if (!moves[key]) return false;
    moves[key]();
    return true;
  }

  destroy() {
    this.osd.destroy();
    this.host.replaceChildren();
  }
}

// Two views go together, in µm. Dragging the second one shifts it against the first: sections of a
// block lie alike on the glass, not at the same place, and their middles meet at first.
export function join(one, two) {
  const middle = (eye) => { const [x, y, w, h] = eye.slide.grid_um || [0, 0, eye.width, eye.height]; return { x: x + w / 2, y: y + h / 2 }; };
  const between = (a, b) => ({ x: b.x - a.x, y: b.y - a.y });
  let shift = between(middle(one), middle(two));
  let busy = false;
  let dragged = false;
  const follow = (from, to, sign) => {
    if (busy || !to.osd.viewport) return;
    busy = true;
    const { x, y } = from.centre;
    to.show({ x: x + sign * shift.x, y: y + sign * shift.y, mpp: from.frame.mpp, immediately: true });
    busy = false;
  };
  const there = () => { if (!dragged) follow(one, two, 1); };
  const shifted = () => { if (dragged) shift = between(one.centre, two.centre); };
  one.addEventListener("moved", there);
  two.addEventListener("moved", shifted);
  two.osd.addHandler("canvas-drag", () => { dragged = true; });
  two.osd.addHandler("canvas-drag-end", () => setTimeout(() => { shifted(); dragged = false; }, 450));
  two.osd.addHandler("canvas-scroll", () => setTimeout(() => follow(two, one, -1), 0));
  there();
  // With the keyboard: the second view alone, by a twentieth of what is seen.
  const nudge = (dx, dy) => {
    const step = 0.05 * two.frame.width * two.frame.mpp;
    shift = { x: shift.x + dx * step, y: shift.y + dy * step };
    there();
  };
  return { nudge, undo: () => one.removeEventListener("moved", there) };
}
