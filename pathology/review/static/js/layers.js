// What is laid over a slide. Every layer draws in µm and is switched on and off.

import { getBytes, getJson, slidePath } from "./api.js";

const STEP_UM = 0.2;
const RAYS = 32;
const COS = Array.from({ length: RAYS }, (_, k) => Math.cos((2 * Math.PI * k) / RAYS) * STEP_UM);
const SIN = Array.from({ length: RAYS }, (_, k) => Math.sin((2 * Math.PI * k) / RAYS) * STEP_UM);

export class HeatMap {
  constructor(colours) { Object.assign(this, { on: false, opacity: 0.6, tiles: [], colours }); }

  async load(id) { this.tiles = (await getJson(slidePath(id, "/heatmap"))).tiles; }

  draw(ctx, { view, px }) {
    ctx.globalAlpha = this.opacity;
    for (const [x, y, w, h, code, failed] of this.tiles) {
      if (code < 0 || failed || x > view.right || y > view.bottom || x + w < view.left || y + h < view.top) continue;
      ctx.fillStyle = this.colours[code];
      ctx.fillRect(x, y, w - px, h - px);
    }
  }
}

export class FailedTiles {
  constructor(heat, colour) { Object.assign(this, { on: true, heat, colour }); }

  get n() { return this.heat.tiles.filter((tile) => tile[5]).length; }

  draw(ctx, { px }) {
    ctx.strokeStyle = this.colour;
    ctx.lineWidth = 2 * px;
    for (const [x, y, w, h, , failed] of this.heat.tiles) {
      if (!failed) continue;
      ctx.strokeRect(x, y, w, h);
      ctx.beginPath();
      ctx.moveTo(x, y); ctx.lineTo(x + w, y + h); ctx.moveTo(x + w, y); ctx.lineTo(x, y + h);
      ctx.stroke();
    }
  }
}

export class Area {
  constructor(id, area) {
    Object.assign(this, { on: area.kind === "tissue", id, area, path: null });
  }

  async load() {
    const { rings } = await getJson(slidePath(this.id, `/areas/${encodeURIComponent(this.area.kind)}`));
    this.path = new Path2D();
    for (const ring of rings) {
      for (let i = 0; i < ring.length; i += 2) if (i) this.path.lineTo(ring[i], ring[i + 1]); else this.path.moveTo(ring[0], ring[1]);
      this.path.closePath();
    }
  }

  // Tissue is a line; what was left out is tinted.
  draw(ctx, { px }) {
    if (!this.path) return;
    ctx.strokeStyle = this.area.colour;
    ctx.lineWidth = 1.4 * px;
    ctx.globalAlpha = 0.75;
    ctx.stroke(this.path);
    if (this.area.kind === "tissue") return;
    ctx.fillStyle = this.area.colour;
    ctx.globalAlpha = 0.3;
    ctx.fill(this.path, "evenodd");
  }
}

export class RunRegions {
  constructor(palette) { Object.assign(this, { on: true, palette, shapes: [] }); }

  async load(id) {
    const { features } = await getJson(slidePath(id, "/regions.geojson"));
    this.shapes = features.map(({ geometry, properties }) => {
      const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
      const path = new Path2D();
      for (const ring of polygons.flat()) ring.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
      return { path, kind: properties.kind };
    });
  }

  draw(ctx, { px }) {
    ctx.setLineDash([6 * px, 4 * px]);
    ctx.lineWidth = 2 * px;
    for (const { path, kind } of this.shapes) {
      ctx.strokeStyle = this.palette[kind]?.colour || "#6e6e6e";
      ctx.stroke(path);
    }
  }
}

// See pathology/review/cellwire.py for the order of the bytes.
export function unpack(buffer) {
  const head = new DataView(buffer);
  const [mode, n, total] = [4, 8, 12].map((at) => head.getUint32(at, true));
  const cells = { mode, n, total, square: head.getFloat32(16, true), place: new Float32Array(buffer, 32, 2 * n) };
  let at = 32 + 8 * n;
  if (mode === 0) {
    cells.id = new Uint32Array(buffer, at, n);
    cells.radii = new Uint8Array(buffer, (at += 4 * n), RAYS * n);
    at += RAYS * n;
  }
  if (mode === 2) cells.counts = new Uint16Array(buffer, at, 5 * n);
  else cells.kind = new Uint8Array(buffer, at, n);
  return cells;
}

export class Cells {
  constructor(id, legend) {
    Object.assign(this, { on: false, id, others: false, opacity: 1, cells: null, chosen: null, asked: null });
    this.patterns = legend.patterns.map((item) => item.colour);
    this.classes = legend.classes.map((item) => item.colour);
  }

  // Asks for a view with a margin, so that short moves need nothing new.
  async load({ left, top, right, bottom, mpp }) {
    if (!this.on) return false;
    const asked = this.asked;
    const inside = asked && left >= asked.left && right <= asked.right && top >= asked.top && bottom <= asked.bottom;
    if (inside && (mpp > 0.9 ? mpp > asked.mpp * 0.8 : this.cells?.mode === 0)) return false;
    const [dx, dy] = [(right - left) * 0.2, (bottom - top) * 0.2];
    const wanted = { left: left - dx, top: top - dy, right: right + dx, bottom: bottom + dy, mpp };
    this.stop?.abort();
    this.stop = new AbortController();
    const query = ["left", "top", "right", "bottom"].map((name) => `${name}=${wanted[name].toFixed(1)}`).join("&");
    // Outlines narrower than some px are dots to the eye.
    const limit = mpp > 0.9 ? 0 : 6000;
    try {
      this.cells = unpack(await getBytes(slidePath(this.id, `/cells?${query}&limit=${limit}`), { signal: this.stop.signal }));
    } catch (error) {
      if (error.name === "AbortError") return false;
      throw error;
    }
    this.asked = wanted;
    this.#prepare();
    return true;
  }

  // One path per colour: a redraw while moving is then a handful of strokes.
  #prepare() {
    const { mode, n, place, kind, radii } = this.cells;
    this.paths = new Map();
    if (mode === 2) return;
    for (let i = 0; i < n; i += 1) {
      const code = kind[i] & 7;
      const counts = kind[i] & 64;
      if (!counts && !this.others) continue;
      const key = counts ? (kind[i] >> 3) & 7 : 8 + code;
      if (!this.paths.has(key)) this.paths.set(key, mode === 0 ? new Path2D() : []);
      const held = this.paths.get(key);
      const [x, y] = [place[2 * i], place[2 * i + 1]];
      if (mode === 1) { held.push(x, y); continue; }
      outline(held, x, y, radii, i * RAYS);
    }
  }

  refresh() { if (this.cells) this.#prepare(); }

  colour(key) { return key < 8 ? this.patterns[key] : this.classes[key - 8]; }

  draw(ctx, { px }) {
    if (!this.cells) return;
    ctx.globalAlpha = this.opacity;
    if (this.cells.mode === 2) this.#drawDensity(ctx);
    else if (this.cells.mode === 1) this.#drawDots(ctx, px);
    else this.#drawOutlines(ctx, px);
  }

  #drawOutlines(ctx, px) {
    const keys = [...this.paths.keys()].sort((a, b) => (a >= 8) - (b >= 8) || a - b);
    for (const wide of [true, false]) {
      for (const key of keys) {
        // A dark rim below keeps the pale colours visible on pale tissue.
        ctx.strokeStyle = wide ? "rgb(20 24 30 / .55)" : this.colour(key);
        ctx.lineWidth = (wide ? 3.4 : key < 8 ? 2 : 1.2) * px;
        if (wide && key >= 8) continue;
        ctx.stroke(this.paths.get(key));
      }
    }
    if (this.chosen) {
      const path = new Path2D();
      outline(path, this.chosen.x, this.chosen.y, this.chosen.radii, 0);
      ctx.strokeStyle = "#fff"; ctx.lineWidth = 6 * px; ctx.stroke(path);
      ctx.strokeStyle = "#0b63ce"; ctx.lineWidth = 3 * px; ctx.stroke(path);
    }
  }

  #drawDots(ctx, px) {
    const side = Math.max(2.2 * px, 5);
    for (const [key, places] of [...this.paths].sort((a, b) => a[0] - b[0])) {
      ctx.fillStyle = this.colour(key);
      for (let i = 0; i < places.length; i += 2) ctx.fillRect(places[i] - side / 2, places[i + 1] - side / 2, side, side);
    }
  }

  // Squares show their cells' leading pattern, paler where they hold few: the strongest that over 10 % reach.
  #drawDensity(ctx) {
    const { n, place, counts, square } = this.cells;
    const full = Math.max(1, (square * square) / 250);
    for (let i = 0; i < n; i += 1) {
      const own = counts.subarray(5 * i, 5 * i + 5);
      const total = own.reduce((a, b) => a + b, 0);
      let code = 0;
      for (let k = 4, sum = 0; k > 0; k -= 1) { sum += own[k]; if (10 * sum > total) { code = k; break; } }
      ctx.globalAlpha = this.opacity * Math.min(0.9, 0.25 + (0.65 * total) / full);
      ctx.fillStyle = this.patterns[code];
      ctx.fillRect(place[2 * i], place[2 * i + 1], square, square);
    }
  }

  // The cell whose outline holds a point, nearest first; or the nearest one at all, for the keyboard.
  at({ x, y }, { nearest = false } = {}) {
    if (!this.on || this.cells?.mode !== 0) return null;
    const { n, place, radii, id, kind } = this.cells;
    let best = null;
    let least = nearest ? 60 : 14;
    for (let i = 0; i < n; i += 1) {
      if (!(kind[i] & 64) && !this.others) continue;
      const distance = Math.hypot(place[2 * i] - x, place[2 * i + 1] - y);
      if (distance >= least) continue;
      const ray = Math.round((Math.atan2(y - place[2 * i + 1], x - place[2 * i]) / (2 * Math.PI)) * RAYS + RAYS) % RAYS;
      if (!nearest && distance > Math.max(3, radii[i * RAYS + ray] * STEP_UM + 1)) continue;
      least = distance;
      best = { id: id[i], x: place[2 * i], y: place[2 * i + 1], radii: radii.slice(i * RAYS, (i + 1) * RAYS) };
    }
    return best;
  }
}

function outline(path, x, y, radii, from) {
  for (let k = 0; k < RAYS; k += 1) {
    const r = radii[from + k];
    if (k) path.lineTo(x + r * COS[k], y + r * SIN[k]); else path.moveTo(x + r * COS[0], y + r * SIN[0]);
  }
  path.closePath();
}
