// What moves by itself. Places, translation and rotation follow the clock; seeds count up with every picture.

import { LOCAL } from "./state.js";

const CLOCKED = ["animate", "translate_animate", "rotate_animate"];
const COUNTED = { mix_animate: "mix_seed", noise_animate: "noise_seed" };
const RADIUS = 0.1;

/** A step of `length` along the law that settles on a circle of radius 0.1: towards it, and around. */
export function circleStep([x, y], length) {
  const size = Math.hypot(x, y);
  const small = Math.abs(x) < 1e-4 && Math.abs(y) < 1e-4;
  const [ux, uy] = small ? [Math.SQRT1_2, Math.SQRT1_2] : [x / size, y / size];
  const [dx, dy] = [RADIUS * ux + y - x, RADIUS * uy - x - y];
  const norm = Math.hypot(dx, dy) || 1;
  return [x + (dx / norm) * length, y + (dy / norm) * length];
}

export class Motion {
  constructor(store, views) {
    this.store = store;
    this.last = 0;
    this.running = false;
    this.counting = new Set();
    store.watch(() => this.wake());
    views.onPicture((header) => { if (header) this.count(); });
  }

  wake() {
    const on = CLOCKED.some(this.store.get);
    if (on && !this.running) {
      this.running = true;
      this.last = performance.now();
      requestAnimationFrame((now) => this.tick(now));
    }
    for (const key of Object.keys(COUNTED)) {
      const starts = this.store.get(key) && !this.counting.has(key);
      this.counting[this.store.get(key) ? "add" : "delete"](key);
      if (starts) this.up(key);
    }
  }

  up(key) {
    const seed = COUNTED[key];
    this.store.set({ [seed]: (this.store.get(seed) + 1) % 2 ** 32 });
  }

  count() {
    for (const key of this.counting) this.up(key);
  }

  tick(now) {
    const { get } = this.store;
    const seconds = Math.min(Math.max((now - this.last) / 1000, 0), 0.1);
    this.last = now;
    const changes = {};
    if (get("animate")) changes.x = get("x") + get("speed") * seconds;
    if (get("rotate_animate")) {
      const turned = get("rotate") + get("rotate_speed") * seconds;
      changes.rotate = turned - Math.round(turned);
    }
    if (get("translate_animate")) {
      const place = [get("translate_x"), get("translate_y")];
      [changes.translate_x, changes.translate_y] = circleStep(place, get("translate_speed") * seconds);
    }
    this.store.set(changes);
    this.running = CLOCKED.some(get);
    if (this.running) requestAnimationFrame((next) => this.tick(next));
  }

  /** Everything stands still. */
  halt() {
    this.store.reset(...Object.keys(LOCAL).filter((key) => key.endsWith("animate")));
  }
}
