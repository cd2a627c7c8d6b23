// What is seen, as one table of fields with their defaults and ranges (those of the server's `View`), a store that holds
// one value of each and tells who watches it, and the state as the fragment of an address.

const real = (value, min, max, step = 0.01, more = {}) => ({ kind: "number", value, min, max, step, ...more });
const whole = (value, min, max, more = {}) => ({ kind: "number", value, min, max, step: 1, digits: 0, integer: true, ...more });
const flag = (value) => ({ kind: "flag", value });
const choice = (...choices) => ({ kind: "choice", value: choices[0], choices });
const text = () => ({ kind: "text", value: "" });
const layers = () => ({ kind: "layers", value: [] });

const SEED = 2 ** 32 - 1;
const PLACE = 2 ** 32;
const ONCE = { maybe: true };

/** Fields of a view, by the names of the protocol. `maybe`: may be null. */
export const VIEW = {
  model: text(),
  mode: choice("image", "layer"),
  x: real(0, -PLACE, PLACE, 0.01),
  y: real(0, -PLACE, PLACE, 0.01),
  class_idx: { ...whole(null, 0, 2 ** 31), ...ONCE },
  mix_seed: whole(1000, 0, SEED),
  mix_layers: layers(),
  psi: real(1, -1, 2),
  cutoff: { ...whole(null, 0, 4095), ...ONCE },
  offsets: { kind: "offsets", value: [] },
  noise_mode: choice("const", "random", "none"),
  noise_seed: whole(0, 0, SEED),
  noise_strength: real(1, 0, 4),
  stretch_x: real(1, 0.25, 4),
  stretch_y: real(1, 0.25, 4),
  rotate: real(0, -1000, 1000, 0.001, { low: -0.5, high: 0.5, digits: 4 }),
  translate_x: real(0, -1000, 1000, 0.001, { low: -0.5, high: 0.5, digits: 4 }),
  translate_y: real(0, -1000, 1000, 0.001, { low: -0.5, high: 0.5, digits: 4 }),
  untransform: flag(false),
  layer: text(),
  channel: whole(0, 0, 1e6),
  rgb: flag(true),
  normalize: flag(false),
  scale_db: real(0, -40, 40, 0.5, { digits: 1 }),
  fft: flag(false),
  fft_all: flag(true),
  fft_range_db: real(50, 0.1, 100, 0.1, { digits: 1 }),
  fft_beta: real(8, 0, 50, 0.1, { digits: 1 }),
  difference: choice("none", "image", "w"),
};

/** Fields of the page alone: what moves, and how fast. */
export const LOCAL = {
  animate: flag(false),
  speed: real(0.25, -5, 5),
  mix_animate: flag(false),
  noise_animate: flag(false),
  translate_animate: flag(false),
  translate_speed: real(0.01, 0, 0.5, 0.001),
  translate_round: flag(false),
  rotate_animate: flag(false),
  rotate_speed: real(0.005, -1, 1, 0.001),
  fps_limit: whole(60, 5, 1000, { high: 120 }),
};

const isIndex = (v) => Number.isInteger(v) && v >= 0 && v <= 4095;
const areLayers = (v) => Array.isArray(v) && v.length <= 256 && v.every(isIndex);

function isOffset(v) {
  return typeof v === "object" && v !== null && ["sefa", "pca"].includes(v.kind) && Number.isInteger(v.index) &&
    v.index >= 0 && v.index <= 1023 && Number.isFinite(v.amount) && Math.abs(v.amount) <= 20 && areLayers(v.layers);
}

/** Whether `value` may stand in a field. */
export function allowed(spec, value) {
  if (spec.maybe && value === null) return true;
  if (spec.kind === "number") {
    return typeof value === "number" && value >= spec.min && value <= spec.max && (!spec.integer || Number.isInteger(value));
  }
  if (spec.kind === "flag") return typeof value === "boolean";
  if (spec.kind === "choice") return spec.choices.includes(value);
  if (spec.kind === "text") return typeof value === "string" && value.length <= 200;
  if (spec.kind === "layers") return areLayers(value);
  return Array.isArray(value) && value.length <= 64 && value.every(isOffset);
}

export const same = (a, b) => a === b || (typeof a === "object" && JSON.stringify(a) === JSON.stringify(b));

export class Store {
  constructor() {
    this.specs = { ...structuredClone(VIEW), ...structuredClone(LOCAL) };
    this.values = Object.fromEntries(Object.entries(this.specs).map(([key, spec]) => [key, spec.value]));
    this.watchers = new Set();
    this.waiting = false;
    this.changedAt = 0;
  }

  get = (key) => this.values[key];
  spec = (key) => this.specs[key];

  /** Takes the values that are allowed and differ, and leaves the rest. */
  set(changes) {
    for (const [key, value] of Object.entries(changes)) {
      const spec = Object.hasOwn(this.specs, key) ? this.specs[key] : null;
      if (!spec || !allowed(spec, value) || same(this.values[key], value)) continue;
      this.values[key] = value;
      this.changedAt = performance.now();
      this.tell();
    }
  }

  reset(...keys) {
    this.set(Object.fromEntries(keys.map((key) => [key, this.specs[key].value])));
  }

  /** Sets a field's limits, which a network decides, and brings its value within. */
  limit(key, min, max) {
    Object.assign(this.specs[key], { min, max });
    const value = this.values[key];
    if (typeof value === "number") this.set({ [key]: Math.min(Math.max(value, min), max) });
    this.tell();
  }

  /** Calls `watcher` now and, once for many changes, after every change. */
  watch(watcher) {
    this.watchers.add(watcher);
    watcher();
  }

  tell() {
    if (this.waiting) return;
    this.waiting = true;
    queueMicrotask(() => {
      this.waiting = false;
      for (const watcher of this.watchers) watcher();
    });
  }

  /** The view as the server wants it. */
  view() {
    const view = Object.fromEntries(Object.keys(VIEW).map((key) => [key, this.values[key]]));
    if (this.values.translate_round && this.pixels) {
      view.translate_x = Math.round(view.translate_x * this.pixels[0]) / this.pixels[0];
      view.translate_y = Math.round(view.translate_y * this.pixels[1]) / this.pixels[1];
    }
    return view;
  }
}

const layersText = (v) => v.join(".");
const layersOf = (s) => (s === "" ? [] : s.split(".").map(Number));

function written(spec, value) {
  if (spec.kind === "flag") return value ? "1" : "0";
  if (spec.kind === "layers") return layersText(value);
  if (spec.kind === "offsets") return value.map((o) => [o.kind, o.index, o.amount, layersText(o.layers)].join(":")).join(",");
  return String(value);
}

function parsed(spec, written) {
  if (spec.kind === "number") return written.trim() === "" ? NaN : Number(written);
  if (spec.kind === "flag") return { 0: false, 1: true }[written];
  if (spec.kind === "layers") return layersOf(written);
  if (spec.kind !== "offsets") return written;
  return written.split(",").filter(Boolean).map((part) => {
    const [kind, index, amount, where = ""] = part.split(":");
    return { kind, index: Number(index), amount: Number(amount), layers: layersOf(where) };
  });
}

/** The state as a fragment: what differs from the defaults. */
export function toFragment(view) {
  const found = new URLSearchParams();
  for (const [key, spec] of Object.entries(VIEW)) {
    if (!same(view[key], spec.value)) found.set(key, written(spec, view[key]));
  }
  return found.toString();
}

/** The fields that a fragment gives; whatever is unknown, out of range or too long is left out. */
export function fromFragment(fragment) {
  const found = {};
  if (fragment.length > 20000) return found;
  for (const [key, value] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    if (!Object.hasOwn(VIEW, key)) continue;
    const read = parsed(VIEW[key], value);
    if (allowed(VIEW[key], read)) found[key] = read;
  }
  return found;
}

/** All fields of a view, from an object of unknown origin: what is not allowed takes its default. */
export function fromObject(given) {
  const source = typeof given === "object" && given !== null ? given : {};
  return Object.fromEntries(Object.entries(VIEW).map(([key, spec]) => {
    const value = Object.hasOwn(source, key) ? source[key] : spec.value;
    return [key, allowed(spec, value) ? value : spec.value];
  }));
}
