// The keyboard: one table of what every key does, which is also the help sheet.

import { $, el } from "./dom.js";
import { arrows, randomSeed } from "./latent.js";

const typing = (target) => target.matches?.("input:not([type=checkbox]):not([type=range]), textarea, select");

export function keyboard(app) {
  const { store } = app;
  const flip = (key) => () => store.set({ [key]: !store.get(key) });
  const table = [
    ["← → ↑ ↓", "move over the seed plane by 0.1, with Shift by 1", null],
    ["Space", "animate or stand still", null],
    ["r", "a random seed", () => randomSeed(store)],
    ["n", "snap to the nearest seed", () => store.set({ x: Math.round(store.get("x")), y: Math.round(store.get("y")) })],
    ["0", "back to seed 0", () => store.reset("x", "y")],
    ["[", "smaller ψ", () => store.set({ psi: Math.round(Math.max(store.get("psi") - 0.1, -1) * 100) / 100 })],
    ["]", "larger ψ", () => store.set({ psi: Math.round(Math.min(store.get("psi") + 0.1, 2) * 100) / 100 })],
    ["j", "the next layer", () => app.layers.step(1)],
    ["k", "the layer before", () => app.layers.step(-1)],
    ["o", "back to the picture", () => app.layers.choose("output")],
    ["f", "spectrum on or off", flip("fft")],
    ["p", "pin this state, or unpin", () => app.compare.toggle()],
    ["d", "difference to the pinned state on or off", () => { if (app.compare.pinned) store.set({ difference: store.get("difference") === "image" ? "none" : "image" }); }],
    ["b", "while held: the pinned state", () => app.compare.peek(true)],
    [",", "the snapshot before", () => app.networks.step(-1)],
    [".", "the next snapshot", () => app.networks.step(1)],
    ["s", "save the picture", () => app.capture.png()],
    ["w", "watch a training, or back", () => app.show(app.view === "watch" ? "explore" : "watch")],
    ["?", "this sheet", () => $("help").showModal()],
  ];
  const actions = new Map(table.filter(([, , action]) => action).map(([key, , action]) => [key, action]));
  $("keys").append(...table.flatMap(([key, what]) => [el("dt", {}, ...key.split(" ").flatMap((k) => [el("kbd", {}, k), " "])), el("dd", {}, what)]));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || event.defaultPrevented) return;
    if (event.key === "Escape") app.closeDrawer();
    if (typing(event.target) || (event.repeat && event.key === "b")) return;
    if (event.key === " " && (event.target === document.body || event.target.id === "picture")) {
      event.preventDefault();
      store.set({ animate: !store.get("animate") });
    } else if (event.key.startsWith("Arrow") && event.target === document.body && app.view === "explore") {
      if (arrows(store, event)) event.preventDefault();
    } else if (actions.has(event.key) && (app.view === "explore" || "w?".includes(event.key))) {
      event.preventDefault();
      actions.get(event.key)();
    }
  });
  document.addEventListener("keyup", (event) => { if (event.key === "b") app.compare.peek(false); });
  $("help-open").addEventListener("click", () => $("help").showModal());
}
