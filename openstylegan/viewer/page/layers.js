// The sections that look into the network: layers, channels, spectra, statistics; and the comparison with a pinned view.

import { button, checkbox, el, fill, line, note, numbered, segments, slider, toast } from "./dom.js";
import { bars, redraw, short } from "./plot.js";

const STATISTICS = { mean: "mean", std: "std", max: "max | · |" };

export class LayerSection {
  constructor(app) {
    const { store } = app;
    this.app = app;
    this.list = el("div", { class: "list", role: "group", "aria-label": "Layers, in the order of execution" });
    this.table = el("table", {}, el("thead", {}, el("tr", {}, ...["", "all", "shown"].map((t) => el("th", {}, t)))), el("tbody"));
    this.canvas = el("canvas", { class: "plot", role: "img", "aria-label": "Histogram of the shown layer" });
    this.heading = note();
    const step = (by) => () => store.set({ channel: Math.max(store.get("channel") + by, 0) });
    const channel = numbered(store, "channel", "Channel", button("−", step(-1), { "aria-label": "Previous channel" }), button("+", step(1), { "aria-label": "Next channel" }));
    const keys = ["rgb", "normalize", "scale_db", "channel", "fft", "fft_all", "fft_range_db", "fft_beta"];
    fill("s-layers", this.list, line(checkbox(store, "rgb", "3 channels as RGB"), checkbox(store, "normalize", "Normalise")), channel,
      slider(store, "scale_db", "Gain, dB"), line(checkbox(store, "fft", "Spectrum beside it"), checkbox(store, "fft_all", "of all channels")),
      slider(store, "fft_range_db", "Range ± dB"), slider(store, "fft_beta", "Kaiser β"),
      line(button("Reset", () => store.reset(...keys)), button("The picture", () => this.choose("output"))), this.heading, this.table, this.canvas);
    app.onNetwork((network) => this.take(network));
    app.views.onPicture((header) => { if (header?.shown) this.show(header.shown); });
    store.watch(() => this.mark());
    redraw(this.canvas, () => this.histogram());
  }

  take(network) {
    const { store } = this.app;
    this.layers = network.layers;
    const known = network.layers.some((layer) => layer.name === store.get("layer"));
    if (!known) store.reset("layer", "mode");
    this.list.replaceChildren(...network.layers.map((layer) => this.entry(layer)));
    this.limit();
    this.mark();
  }

  entry({ name, shape, dtype }) {
    const made = el("button", { type: "button", class: "pick", onclick: () => this.choose(name), title: dtype },
      el("span", {}, name), el("small", {}, `${shape[0]} × ${shape[1]} × ${shape[2]}`));
    made.dataset.layer = name;
    return made;
  }

  current() {
    return this.app.store.get("mode") === "layer" ? this.app.store.get("layer") || "output" : "output";
  }

  choose(name) {
    const { store } = this.app;
    if (name === "output") store.set({ mode: "image", layer: "", channel: 0 });
    else store.set({ mode: "layer", layer: name });
    this.limit();
  }

  /** To the layer before or after. */
  step(by) {
    const names = (this.layers ?? []).map((layer) => layer.name);
    const next = names[names.indexOf(this.current()) + by];
    if (next) this.choose(next);
  }

  limit() {
    const layer = this.layers?.find((other) => other.name === this.current());
    if (layer) this.app.store.limit("channel", 0, layer.shape[0] - 1);
  }

  mark() {
    const current = this.current();
    for (const entry of this.list.children) entry.setAttribute("aria-pressed", String(entry.dataset.layer === current));
  }

  show(shown) {
    this.shown = shown;
    const channels = shown.channels > 1 ? `channels ${shown.channel}–${shown.channel + shown.channels - 1}` : `channel ${shown.channel}`;
    const broken = shown.not_finite ? ` · ${shown.not_finite} values are not finite` : "";
    this.heading.textContent = `${shown.name} · ${shown.shape.join(" × ")} · ${shown.dtype} · ${channels}${broken}`;
    const rows = Object.entries(STATISTICS).map(([key, text]) =>
      el("tr", {}, el("td", {}, text), el("td", {}, short(shown.all[key])), el("td", {}, short(shown.selected[key]))));
    this.table.tBodies[0].replaceChildren(...rows);
    this.histogram();
  }

  histogram() {
    if (!this.shown) return;
    const { counts, low, high } = this.shown.histogram;
    bars(this.canvas, counts, low, high);
  }
}

export class CompareSection {
  constructor(app) {
    this.app = app;
    this.pinned = null;
    this.pin = button("Pin this state", () => this.toggle(), { "aria-pressed": "false" });
    this.hold = button("Hold to see it", () => {});
    this.hold.addEventListener("pointerdown", () => this.peek(true));
    for (const end of ["pointerup", "pointerleave", "blur"]) this.hold.addEventListener(end, () => this.peek(false));
    const back = button("Back to it", () => { if (this.pinned) app.store.set(this.pinned); });
    this.needs = [this.hold, back];
    this.what = segments(app.store, "difference", "Difference", { none: "Picture", image: "Difference", w: "Distance in w" });
    this.canvas = el("canvas", { class: "plot", role: "img", "aria-label": "Distance of every w from the pinned one", hidden: true });
    this.note = note();
    fill("s-compare", line(this.pin, this.hold, back), this.what, this.canvas, this.note);
    app.socket.on("pinned", (message) => this.take(message.view));
    app.views.onPicture((header) => { if (header) this.distances(header.w_distance); });
    this.take(null);
  }

  /** The state that is pinned now, or null; a difference without one is taken back. */
  take(view) {
    this.pinned = view;
    this.pin.textContent = view ? "Unpin" : "Pin this state";
    this.pin.setAttribute("aria-pressed", String(Boolean(view)));
    for (const need of this.needs) need.disabled = !view;
    this.what.inert = !view;
    this.what.classList.toggle("off", !view);
    this.note.textContent = view ? "" : "Pin a state, then change something: the difference to it can be seen.";
    this.note.hidden = Boolean(view);
    if (!view && this.app.views.ready) this.app.store.reset("difference");
  }

  async toggle() {
    const { socket, store } = this.app;
    const message = this.pinned ? { type: "unpin" } : { type: "pin", view: { ...store.view(), difference: "none" } };
    try {
      await socket.ask(message, "pinned");
    } catch (error) {
      toast(error.message);
    }
  }

  /** Pins again what was pinned before the server was lost. */
  async again() {
    if (this.pinned) await this.app.socket.ask({ type: "pin", view: this.pinned }, "pinned").catch(() => this.take(null));
    else this.app.store.reset("difference");
  }

  peek(on) {
    this.app.views.instead(on && this.pinned ? this.pinned : null);
  }

  distances(values) {
    if (!values && this.canvas.hidden) return;
    this.canvas.hidden = !values;
    if (!values) return;
    bars(this.canvas, values, 0, values.length - 1);
    this.note.hidden = false;
    this.note.textContent = `‖w − pinned w‖ per index: largest ${short(Math.max(...values))}`;
  }
}
