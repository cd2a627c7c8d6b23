// The sections that decide which picture it is: the plane of seeds, class, truncation, style mixing, noise, movement.

import { $, button, checkbox, el, fill, line, note, number, numbered, range, segments, slider } from "./dom.js";
import { colour, redraw, surface } from "./plot.js";

const UNIT = 46;
const DRAG = 300;
const SLOW = 0.1;
const SHORT = 1e6;

export const seedAt = (x, y) => ((Math.floor(x) + 100 * Math.floor(y)) % 2 ** 32 + 2 ** 32) % 2 ** 32;

/** Pointer drags of `target` as steps [dx, dy] in pixels; Shift makes them a tenth. */
export function drags(target, move, done = () => {}) {
  let at = null;
  target.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    at = [event.clientX, event.clientY];
    target.setPointerCapture(event.pointerId);
    target.classList.add("dragging");
  });
  target.addEventListener("pointermove", (event) => {
    if (!at) return;
    const slow = event.shiftKey ? SLOW : 1;
    move((event.clientX - at[0]) * slow, (event.clientY - at[1]) * slow);
    at = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    target.addEventListener(end, () => {
      if (at) done();
      at = null;
      target.classList.remove("dragging");
    });
  }
}

/** Arrow keys as steps over the plane: 0.1, with Shift 1. */
export function arrows(store, event) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return false;
  const size = event.shiftKey ? 1 : 0.1;
  store.set({ x: rounded(store.get("x") + step[0] * size), y: rounded(store.get("y") + step[1] * size) });
  return true;
}

const rounded = (value) => Math.round(value * 1e6) / 1e6;

function drawPad(canvas, store) {
  const area = surface(canvas);
  if (!area) return;
  const { context, width, height } = area;
  const [x, y] = [store.get("x"), store.get("y")];
  const [nx, ny] = [Math.ceil(width / UNIT / 2) + 1, Math.ceil(height / UNIT / 2) + 1];
  const [near, far] = [colour("--accent"), colour("--soft")];
  context.textAlign = "center";
  for (let i = Math.floor(x) - nx; i <= x + nx; i++) {
    for (let j = Math.floor(y) - ny; j <= y + ny; j++) {
      const [px, py] = [width / 2 + (i - x) * UNIT, height / 2 + (j - y) * UNIT];
      const share = Math.max(1 - Math.abs(i - x), 0) * Math.max(1 - Math.abs(j - y), 0);
      context.fillStyle = share > 0 ? near : far;
      context.globalAlpha = 0.35 + 0.65 * share;
      context.beginPath();
      context.arc(px, py, 2 + 3.5 * share, 0, 7);
      context.fill();
      const seed = seedAt(i, j);
      context.globalAlpha = share > 0 ? 1 : 0.55;
      if (seed < SHORT) context.fillText(String(seed), px, py + 17);
    }
  }
  context.globalAlpha = 1;
  context.strokeStyle = near;
  context.beginPath();
  context.arc(width / 2, height / 2, 7, 0, 7);
  context.stroke();
}

function pad(store) {
  const canvas = el("canvas", { class: "pad", tabindex: 0, role: "application", "aria-label": "Plane of seeds; drag, or use the arrow keys" });
  drags(canvas, (dx, dy) => store.set({ x: store.get("x") - dx / UNIT, y: store.get("y") - dy / UNIT }));
  canvas.addEventListener("keydown", (event) => { if (arrows(store, event)) event.preventDefault(); });
  const draw = () => drawPad(canvas, store);
  redraw(canvas, draw);
  store.watch(draw);
  return canvas;
}

function seedField(store) {
  const input = el("input", { type: "number", min: 0, max: 2 ** 32 - 1, step: 1, id: "seed" });
  input.addEventListener("input", () => {
    const value = Number(input.value);
    const good = input.value.trim() !== "" && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
    input.setAttribute("aria-invalid", String(!good));
    input.title = good ? "" : "expected a whole number, 0 to 4294967295";
    if (good) store.set({ x: value, y: 0 });
  });
  const show = () => { input.value = seedAt(store.get("x"), store.get("y")); input.setAttribute("aria-invalid", "false"); };
  input.addEventListener("blur", show);
  store.watch(() => { if (document.activeElement !== input) show(); });
  return input;
}

export function randomSeed(store) {
  store.set({ x: crypto.getRandomValues(new Uint32Array(1))[0] % 1e6, y: 0 });
}

function classField(store) {
  const none = el("input", { type: "checkbox" });
  none.addEventListener("change", () => store.set({ class_idx: none.checked ? null : 0 }));
  const input = el("input", { type: "number", min: 0, step: 1, "aria-label": "Class" });
  input.addEventListener("input", () => {
    const { max } = store.spec("class_idx");
    const value = Number(input.value);
    const good = input.value.trim() !== "" && Number.isInteger(value) && value >= 0 && value <= max;
    input.setAttribute("aria-invalid", String(!good));
    input.title = good ? "" : `expected 0 to ${max}`;
    if (good) store.set({ class_idx: value });
  });
  store.watch(() => {
    const value = store.get("class_idx");
    none.checked = value === null;
    if (document.activeElement !== input) input.value = value ?? "";
  });
  const row = el("div", { class: "row", id: "class" }, el("span", { class: "name" }, "Class"), el("label", { class: "check" }, none, "of each seed"), input);
  return row;
}

function cutoffField(store) {
  const input = el("input", { type: "range", id: "cutoff", min: 0, step: 1 });
  const shown = el("output");
  input.addEventListener("input", () => store.set({ cutoff: Number(input.value) >= Number(input.max) ? null : Number(input.value) }));
  store.watch(() => {
    const { max } = store.spec("cutoff");
    input.max = max;
    input.value = store.get("cutoff") ?? max;
    shown.textContent = store.get("cutoff") === null ? "all" : `${store.get("cutoff")} of ${max}`;
  });
  const label = el("label", { for: "cutoff", ondblclick: () => store.reset("cutoff") }, "Cutoff");
  return el("div", { class: "row" }, label, input, shown);
}

/** One checkbox for each index of ws, into the field `key`. */
export function boxes(store, key, label, count) {
  const group = el("div", { class: "boxes", role: "group", "aria-label": label });
  const inputs = Array.from({ length: count }, (_, n) => {
    const input = el("input", { type: "checkbox", "aria-label": `w ${n}` });
    input.addEventListener("change", () => {
      const others = store.get(key).filter((other) => other !== n);
      store.set({ [key]: (input.checked ? [...others, n] : others).sort((a, b) => a - b) });
    });
    group.append(el("label", { title: `w ${n}` }, input, String(n)));
    return input;
  });
  const show = () => inputs.forEach((input, n) => { input.checked = store.get(key).includes(n); });
  return { group, show };
}

export class LatentSections {
  constructor(app) {
    const { store } = app;
    this.store = store;
    this.mixing = { show() {} };
    const snap = () => store.set({ x: Math.round(store.get("x")), y: Math.round(store.get("y")) });
    const places = { Seed: seedField(store), x: number(store, "x", "x"), "y · 100": number(store, "y", "y") };
    const home = () => store.reset("x", "y", "animate", "speed");
    fill("s-latent", pad(store), el("div", { class: "trio" }, ...Object.entries(places).map(([text, input]) => el("label", {}, text, input))),
      el("div", { class: "row" }, checkbox(store, "animate", "Animate"), range(store, "speed", "Speed"), number(store, "speed", "Speed in seeds a second")),
      classField(store), line(button("Random", () => randomSeed(store)), button("Snap", snap), button("Reset", home)));
    this.noTruncation = note();
    fill("s-truncate", slider(store, "psi", "ψ"), cutoffField(store), line(button("Reset", () => store.reset("psi", "cutoff"))), this.noTruncation);
    this.boxes = el("div");
    const all = () => store.set({ mix_layers: Array.from({ length: this.count }, (_, n) => n) });
    fill("s-mix", numbered(store, "mix_seed", "Seed", checkbox(store, "mix_animate", "Animate")), this.boxes,
      line(button("All", all), button("None", () => store.reset("mix_layers")), button("Reset", () => store.reset("mix_seed", "mix_layers", "mix_animate"))));
    this.noNoise = note();
    const modes = { const: "Fixed", random: "By seed", none: "None" };
    fill("s-noise", segments(store, "noise_mode", "Noise", modes), numbered(store, "noise_seed", "Seed", checkbox(store, "noise_animate", "Animate")),
      slider(store, "noise_strength", "Strength"), line(button("Reset", () => store.reset("noise_mode", "noise_seed", "noise_strength", "noise_animate"))), this.noNoise);
    store.watch(() => { if (store.get("noise_animate")) store.set({ noise_mode: "random" }); });
    this.transform(store);
    store.watch(() => this.mixing.show());
    app.onNetwork((network) => this.take(network));
    this.picture($("picture"), store);
  }

  transform(store) {
    this.noTransform = note();
    const fields = ["stretch_x", "stretch_y", "rotate", "rotate_animate", "rotate_speed", "translate_x", "translate_y", "translate_animate", "translate_speed", "translate_round", "untransform"];
    const moving = (key, speed, label) => el("div", { class: "row" }, checkbox(store, key, "Animate"), range(store, speed, label), number(store, speed, label));
    fill("s-transform", this.noTransform, slider(store, "translate_x", "Right"), slider(store, "translate_y", "Down"),
      moving("translate_animate", "translate_speed", "Speed in widths a second"), checkbox(store, "translate_round", "Whole pixels"),
      slider(store, "rotate", "Turns"), moving("rotate_animate", "rotate_speed", "Speed in turns a second"),
      slider(store, "stretch_x", "Stretch →"), slider(store, "stretch_y", "Stretch ↓"), checkbox(store, "untransform", "Undo in the finished picture"),
      line(button("Reset", () => store.reset(...fields))));
  }

  /** Dragging the picture, and its keys. */
  picture(canvas, store) {
    drags(canvas, (dx, dy) => store.set({ x: store.get("x") - dx / DRAG, y: store.get("y") - dy / DRAG }));
    canvas.addEventListener("keydown", (event) => { if (arrows(store, event)) event.preventDefault(); });
  }

  /** Ranges and what has an effect, of an open network. */
  take(network) {
    const { store } = this;
    this.count = network.num_ws;
    $("class").hidden = !network.classes;
    store.limit("class_idx", 0, Math.max(network.classes - 1, 0));
    if (!network.classes) store.reset("class_idx");
    store.limit("cutoff", 0, network.num_ws);
    if (store.get("cutoff") === network.num_ws) store.reset("cutoff");
    store.set({ mix_layers: store.get("mix_layers").filter((n) => n < network.num_ws) });
    store.pixels = [network.image_shape[2], network.image_shape[1]];
    this.mixing = boxes(store, "mix_layers", "Indices of w that come from the other seed", network.num_ws);
    this.boxes.replaceChildren(this.mixing.group);
    this.mixing.show();
    dim("s-truncate", network.truncates, this.noTruncation, "This network has no average w, so truncation has no effect.");
    dim("s-noise", network.noise, this.noNoise, "This network has no noise.");
    dim("s-transform", network.transforms, this.noTransform, "Only networks with a Fourier input (StyleGAN3) can be moved and turned.");
  }
}

function dim(id, useful, where, text) {
  where.textContent = useful ? "" : text;
  where.hidden = useful;
  for (const child of $(id).querySelector("div").children) {
    if (child === where) continue;
    child.classList.toggle("off", !useful);
    child.inert = !useful;
  }
}
