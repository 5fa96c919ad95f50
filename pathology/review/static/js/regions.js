// Drawn regions: drawing, editing, undo, and a draft that outlives a closed browser.

const TOLERANCE_PX = 1.5;
const HANDLE_PX = 5;
const NAMES = { tumour: "Tumor", in_situ: "In situ", exclude: "Exclude", control: "Control", ignore: "Ignore*" };

const clone = (value) => JSON.parse(JSON.stringify(value));

export class Regions extends EventTarget {
  constructor(eye, palette, { slide, run, user }) {
    super();
    Object.assign(this, { eye, palette, on: true, shapes: [], saved: [], past: [], tool: "move", chosen: -1, corner: -1, points: null, hover: null, version: 0, readonly: false });
    this.key = `her2:draft:${user}:${run}:${slide}`; // on a shared machine everyone has drafts of his own
    this.catch = document.createElement("div");
    this.catch.className = "catch";
    this.catch.hidden = true;
    this.catch.tabIndex = -1;
    eye.host.append(this.catch);
    this.cross = document.createElement("div");
    this.cross.className = "crosshair";
    this.cross.hidden = true;
    eye.host.append(this.cross);
    for (const name of ["pointerdown", "pointermove", "pointerup", "dblclick", "wheel"]) {
      this.catch.addEventListener(name, (event) => this[`_${name}`](event), { passive: name === "wheel" });
    }
    eye.layers.push(this);
  }

  // What the server holds; a draft of the same version comes back, an older one is offered.
  adopt(version, features, spacing) {
    this.saved = features.flatMap((feature) => shapesOf(feature, spacing));
    this.version = version;
    this.past = [];
    this.chosen = -1;
    this.shapes = clone(this.saved);
    const draft = this.#draft();
    this.#changed({ keep: true });
    return draft;
  }

  restore(draft) {
    this.past.push(clone(this.shapes));
    this.shapes = draft.shapes;
    if (draft.points) { this.use(draft.tool); this.points = draft.points; }
    this.#changed();
  }

  #draft() {
    let draft = null;
    try { draft = JSON.parse(localStorage.getItem(this.key) || "null"); } catch { /* not ours, or cut off */ }
    const whole = draft && Array.isArray(draft.shapes) && draft.shapes.every((shape) => Array.isArray(shape.rings) && shape.kind);
    return whole && (draft.points?.length || JSON.stringify(draft.shapes) !== JSON.stringify(this.saved)) ? draft : null;
  }

  forget() { localStorage.removeItem(this.key); }

  discard() { this.shapes = clone(this.saved); this.past = []; this.chosen = -1; this.forget(); this.#changed({ keep: true }); }

  get dirty() { return JSON.stringify(this.shapes) !== JSON.stringify(this.saved); }

  features() {
    return this.shapes.map((shape) => ({
      type: "Feature", properties: { classification: { name: NAMES[shape.kind] || shape.kind } },
      geometry: { type: "Polygon", coordinates: shape.rings.map((ring) => [...ring, ring[0]].map(([x, y]) => [+x.toFixed(2), +y.toFixed(2)])) },
    }));
  }

  #changed({ keep = false } = {}) {
    if (!keep) this.#keep();
    this.corner = -1;
    this.dispatchEvent(new Event("change"));
    this.eye.redraw();
  }

  // The draft: what is not saved yet, with the outline that is being drawn.
  #keep() {
    const { version, shapes, points, tool } = this;
    try {
      if (this.dirty || points) localStorage.setItem(this.key, JSON.stringify({ version, shapes, points, tool, at: Date.now() }));
      else this.forget();
    } catch { this.#complain("The draft could not be kept in this browser: save soon."); }
  }

  use(tool) {
    this.cancel();
    this.tool = this.readonly && tool !== "move" ? "move" : tool;
    this.catch.hidden = this.tool === "move";
    this.catch.classList.toggle("select", this.tool === "edit");
    if (this.tool !== "edit") this.chosen = -1;
    this.dispatchEvent(new Event("change"));
    this.eye.redraw();
  }

  get drawing() { return this.tool !== "move" && this.tool !== "edit"; }

  choose(index) { this.chosen = index; this.corner = -1; this.dispatchEvent(new Event("change")); this.eye.redraw(); }

  // Deletes the chosen corner; without one, the region.
  remove(index = null) {
    if (index === null && this.corner >= 0) { this.#change((ring, at) => ring.splice(at, 1)); return; }
    index ??= this.chosen;
    if (index < 0 || this.readonly) return;
    this.past.push(clone(this.shapes));
    this.shapes.splice(index, 1);
    this.chosen = -1;
    this.#changed();
  }

  undo() {
    if (this.points?.length) { this.points.pop(); if (!this.points.length) this.points = null; this.eye.redraw(); return; }
    if (!this.past.length) return;
    this.shapes = this.past.pop();
    this.chosen = -1;
    this.#changed();
  }

  cancel() {
    const begun = this.points;
    this.points = null; this.held = null; this.corner = -1; this.cross.hidden = true;
    if (begun) this.#keep();
    this.eye.redraw();
  }

  // With the keyboard: one corner after the other of the chosen region.
  nextCorner(step) {
    if (this.tool !== "edit" || !this.shapes.length) return;
    if (this.chosen < 0) this.choose(0);
    const corners = this.shapes[this.chosen].rings.flat();
    this.corner = this.corner < 0 ? 0 : (this.corner + step + corners.length) % corners.length;
    const [x, y] = corners[this.corner];
    const { left, top, right, bottom, mpp } = this.eye.view;
    if (x < left || x > right || y < top || y > bottom) this.eye.show({ x, y, mpp });
    this.dispatchEvent(new CustomEvent("say", { detail: `Corner ${this.corner + 1} of ${corners.length}` }));
    this.eye.redraw();
  }

  nudge(dx, dy) {
    const step = 8 * this.eye.frame.mpp;
    this.#change((ring, at) => { ring[at] = [ring[at][0] + dx * step, ring[at][1] + dy * step]; });
  }

  // Changes the chosen corner's ring, unless the outline would cross itself.
  #change(work) {
    if (this.tool !== "edit" || this.corner < 0 || this.readonly) return;
    const { corner } = this;
    const before = clone(this.shapes);
    let at = corner;
    const ring = this.shapes[this.chosen].rings.find((one) => at < one.length || ((at -= one.length), false));
    work(ring, at);
    if (ring.length < 3 || crosses(ring)) {
      this.shapes = before;
      this.#complain(ring.length < 3 ? "A region has three corners or more: delete the whole region in the list." : "The outline would cross itself there.");
    } else {
      this.past.push(before);
      this.#changed();
    }
    this.corner = Math.min(corner, this.shapes[this.chosen].rings.flat().length - 1);
  }

  // With the keyboard: the middle of the view is the pen.
  pin() {
    if (!this.drawing) return;
    this.cross.hidden = false;
    const { x, y } = this.eye.centre;
    (this.points ??= []).push([x, y]);
    this.#keep();
    this.eye.redraw();
  }

  close() {
    const ring = this.points && simplify(this.points, TOLERANCE_PX * this.eye.frame.mpp);
    this.points = null;
    this.cross.hidden = true;
    this.eye.redraw();
    if (!ring) return;
    this.#keep();
    // First: the halves of a figure of eight cancel each other's area.
    if (crosses(ring)) return this.#complain("The outline crosses itself: draw it again without a loop.");
    if (ring.length < 3 || Math.abs(area(ring)) < 25) return this.#complain("Too small for a region: draw around an area.");
    const inside = ring.map(([x, y]) => [Math.min(Math.max(x, 0), this.eye.width), Math.min(Math.max(y, 0), this.eye.height)]);
    if (Math.abs(area(inside)) < 25) return this.#complain("The region lies outside the slide.");
    this.past.push(clone(this.shapes));
    this.shapes.push({ kind: this.tool, rings: [inside] });
    this.#changed();
  }

  #complain(text) { this.dispatchEvent(new CustomEvent("trouble", { detail: text })); }

  #point(event) {
    const box = this.catch.getBoundingClientRect();
    const { x, y } = this.eye.toUm({ x: event.clientX - box.left, y: event.clientY - box.top });
    return [x, y];
  }

  _pointerdown(event) {
    if (event.button !== 0) return;
    this.catch.setPointerCapture(event.pointerId);
    const at = this.#point(event);
    if (this.tool === "edit") { this.#grip(at); return; }
    this.down = { at, moved: false };
    (this.points ??= []).push(at);
    this.eye.redraw();
  }

  _pointermove(event) {
    const at = this.#point(event);
    this.hover = at;
    if (this.tool === "edit") { if (this.held) this.#drag(at); return; }
    if (this.down) {
      const last = this.points.at(-1);
      const far = 3 * this.eye.frame.mpp;
      if (Math.hypot(at[0] - last[0], at[1] - last[1]) > far) {
        if (Math.hypot(at[0] - this.down.at[0], at[1] - this.down.at[1]) > 3 * far) this.down.moved = true;
        this.points.push(at);
      }
    }
    if (this.points) this.eye.redraw();
  }

  _pointerup(event) {
    if (this.tool === "edit") {
      if (this.held?.changed) this.#dropped();
      this.held = null;
      return;
    }
    if (!this.down) return;
    const { moved } = this.down;
    this.down = null;
    if (moved) { this.close(); return; }
    const first = this.points?.[0];
    const at = this.#point(event);
    this.#keep();
    if (this.points?.length > 3 && Math.hypot(at[0] - first[0], at[1] - first[1]) < 9 * this.eye.frame.mpp) { this.points.pop(); this.close(); }
  }

  _dblclick() {
    if (this.tool === "edit") { this.remove(this.corner >= 0 ? null : -1); return; } // on a corner: away with it
    if (this.drawing && this.points) { this.points.pop(); this.close(); }
  }

  _wheel(event) { this.eye.zoomBy(event.deltaY < 0 ? 1.25 : 0.8); }

  #grip(at) {
    const near = (HANDLE_PX + 3) * this.eye.frame.mpp;
    const shape = this.shapes[this.chosen];
    if (shape) {
      for (const [r, ring] of shape.rings.entries()) {
        const v = ring.findIndex(([x, y]) => Math.hypot(x - at[0], y - at[1]) < near);
        if (v >= 0) {
          this.held = { ring: r, vertex: v, before: clone(this.shapes) };
          this.corner = shape.rings.slice(0, r).flat().length + v;
          this.eye.redraw();
          return;
        }
        const edge = nearEdge(ring, at, near);
        if (edge >= 0) {
          const before = clone(this.shapes);
          ring.splice(edge + 1, 0, at);
          this.held = { ring: r, vertex: edge + 1, before, changed: true };
          this.eye.redraw();
          return;
        }
      }
    }
    this.choose(this.shapes.findLastIndex((one) => inRing(one.rings[0], at)));
  }

  #drag(at) {
    const { ring, vertex } = this.held;
    this.shapes[this.chosen].rings[ring][vertex] = at;
    this.held.changed = true;
    this.eye.redraw();
  }

  #dropped() {
    if (this.shapes[this.chosen].rings.some(crosses)) {
      this.shapes = this.held.before;
      this.#complain("The outline would cross itself there: the point went back.");
      this.#changed();
      return;
    }
    this.past.push(this.held.before);
    this.#changed();
  }

  draw(ctx, { px }) {
    this.shapes.forEach((shape, index) => {
      const colour = this.palette[shape.kind]?.colour || "#6e6e6e";
      const path = new Path2D();
      for (const ring of shape.rings) { ring.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y))); path.closePath(); }
      ctx.fillStyle = colour;
      ctx.globalAlpha = shape.kind === "tumour" ? 0.06 : 0.16;
      ctx.fill(path, "evenodd");
      ctx.globalAlpha = 1;
      ctx.strokeStyle = "rgb(255 255 255 / .9)"; ctx.lineWidth = 5 * px; ctx.stroke(path);
      ctx.strokeStyle = colour; ctx.lineWidth = (index === this.chosen ? 3.5 : 2.4) * px; ctx.stroke(path);
      if (index === this.chosen) this.#handles(ctx, shape, colour, px);
    });
    if (!this.points) return;
    ctx.strokeStyle = this.palette[this.tool]?.colour || "#0b63ce";
    ctx.lineWidth = 2.4 * px;
    ctx.beginPath();
    this.points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    if (this.hover && !this.down && this.cross.hidden) ctx.lineTo(...this.hover);
    ctx.stroke();
    for (const [x, y] of this.down ? this.points.slice(0, 1) : this.points) ctx.strokeRect(x - 3 * px, y - 3 * px, 6 * px, 6 * px);
  }

  #handles(ctx, shape, colour, px) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.6 * px;
    for (const [index, [x, y]] of shape.rings.flat().entries()) {
      ctx.fillStyle = index === this.corner ? colour : "#fff";
      ctx.beginPath();
      ctx.arc(x, y, (index === this.corner ? 1.4 : 1) * HANDLE_PX * px, 0, 2 * Math.PI);
      ctx.fill();
      ctx.stroke();
    }
  }
}

// The record holds level-0 pixels and QuPath's class names; the page works in µm.
function shapesOf({ geometry, properties }, [sx, sy]) {
  const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
  const name = properties?.classification?.name || "Exclude";
  const kind = Object.keys(NAMES).find((code) => NAMES[code] === name) || name;
  const um = ([x, y]) => [+(x * sx).toFixed(2), +(y * sy).toFixed(2)];
  return polygons.map((rings) => ({ kind, rings: rings.map((ring) => ring.slice(0, -1).map(um)) }));
}

export function area(ring) {
  return ring.reduce((sum, [x, y], i) => { const [u, v] = ring[(i + 1) % ring.length]; return sum + x * v - u * y; }, 0) / 2;
}

const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

// Whether two edges of a ring that are not neighbours meet.
export function crosses(ring) {
  const n = ring.length;
  for (let i = 0; i < n; i += 1) {
    const [a, b] = [ring[i], ring[(i + 1) % n]];
    for (let j = i + 2; j < n; j += 1) {
      if (i === 0 && j === n - 1) continue;
      const [c, d] = [ring[j], ring[(j + 1) % n]];
      if (turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0) return true;
    }
  }
  return false;
}

function inRing(ring, [x, y]) {
  let inside = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i, i += 1) {
    const [[xi, yi], [xj, yj]] = [ring[i], ring[j]];
    if ((yi > y) !== (yj > y) && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

const toSegment = ([x, y], [ax, ay], [bx, by]) => {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const t = length ? Math.min(1, Math.max(0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length)) : 0;
  return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
};

const nearEdge = (ring, at, near) => ring.findIndex((point, i) => toSegment(at, point, ring[(i + 1) % ring.length]) < near);

// Douglas and Peucker (1973), Cartographica 10:112: no point moves by more than the tolerance.
export function simplify(points, tolerance) {
  if (points.length < 4) return points;
  const keep = new Uint8Array(points.length);
  keep[0] = keep[points.length - 1] = 1;
  const open = [[0, points.length - 1]];
  while (open.length) {
    const [from, to] = open.pop();
    let far = tolerance;
    let at = -1;
    for (let i = from + 1; i < to; i += 1) {
      const distance = toSegment(points[i], points[from], points[to]);
      if (distance > far) { far = distance; at = i; }
    }
    if (at >= 0) { keep[at] = 1; open.push([from, at], [at, to]); }
  }
  return points.filter((_, i) => keep[i]);
}
