// The section with directions that were found in the network itself, each with a slider.

import { button, el, fill, line, note, toast } from "./dom.js";

const SHOWN = 8;
const same = (a, b) => a.length === b.length && a.every((v, n) => v === b[n]);

export class DirectionSection {
  constructor(app) {
    this.app = app;
    this.kind = el("select", { "aria-label": "How directions are found" });
    this.from = el("input", { type: "number", min: 0, step: 1, "aria-label": "First index of w" });
    this.to = el("input", { type: "number", min: 0, step: 1, "aria-label": "Last index of w" });
    this.find = button("Find", () => this.ask(), { class: "primary" });
    this.status = note();
    this.rows = el("div", { class: "column" });
    this.more = button("More", () => { this.shown += SHOWN; this.draw(); }, { hidden: true });
    this.others = note();
    this.reset = button("Reset", () => app.store.reset("offsets"));
    for (const input of [this.from, this.to]) input.addEventListener("input", () => this.layers());
    this.kind.addEventListener("change", () => this.forget());
    const where = el("div", { class: "row wide" }, el("span", { class: "name" }, "w from, to"), line(this.from, this.to));
    fill("s-directions", line(this.kind, this.find), where, this.status, this.rows, line(this.more, this.reset), this.others);
    app.onNetwork((network) => this.take(network));
    app.store.watch(() => this.mark());
  }

  take(network) {
    this.network = network;
    const names = { sefa: "SeFa: of the weights", pca: "PCA: of many w" };
    const kinds = Object.keys(network.directions).filter((kind) => network.directions[kind]);
    this.kind.replaceChildren(...kinds.map((kind) => el("option", { value: kind }, names[kind] ?? kind)));
    this.find.disabled = !kinds.length;
    this.from.value = 0;
    this.to.value = network.num_ws - 1;
    for (const input of [this.from, this.to]) input.max = network.num_ws - 1;
    this.forget(kinds.length ? "Steps that change the picture most, found in the network itself." : "No directions can be found in this network.");
  }

  forget(text = "") {
    this.found = null;
    this.shown = SHOWN;
    this.status.textContent = text;
    this.draw();
  }

  /** The chosen indices of ws, [] for all; null, and marked, when they are out of range. */
  layers() {
    const last = this.network.num_ws - 1;
    const [a, b] = [this.from, this.to].map((input) => (input.value.trim() === "" ? NaN : Number(input.value)));
    const good = Number.isInteger(a) && Number.isInteger(b) && a >= 0 && b <= last && a <= b;
    for (const input of [this.from, this.to]) {
      input.setAttribute("aria-invalid", String(!good));
      input.title = good ? "" : `expected 0 to ${last}, the first not after the last`;
    }
    if (!good) return null;
    return a === 0 && b === last ? [] : Array.from({ length: b - a + 1 }, (_, n) => a + n);
  }

  async ask() {
    const layers = this.layers();
    if (!layers) return;
    const [model, kind] = [this.network.model, this.kind.value];
    this.status.textContent = "looking …";
    this.find.disabled = true;
    try {
      const progress = (p) => { this.status.textContent = p.what; };
      const found = await this.app.socket.ask({ type: "directions", model, kind, layers: kind === "sefa" ? layers : [] }, "directions", progress);
      if (found.model === this.network.model) this.found = { ...found, layers };
      this.status.textContent = `${found.scales.length} directions; 1 is a standard deviation of w`;
    } catch (error) {
      this.status.textContent = "";
      toast(error.message);
    }
    this.find.disabled = false;
    this.draw();
  }

  isMine(offset) {
    return this.found && offset.kind === this.found.kind && same(offset.layers, this.found.layers);
  }

  set(index, amount) {
    const { store } = this.app;
    const others = store.get("offsets").filter((o) => !(this.isMine(o) && o.index === index));
    const { kind, layers } = this.found;
    const offsets = amount === 0 ? others : [...others, { kind, index, amount, layers }];
    if (offsets.length > 64) toast("At most 64 steps at once.");
    else store.set({ offsets });
  }

  draw() {
    const count = this.found ? Math.min(this.found.scales.length, this.shown) : 0;
    this.rows.replaceChildren(...Array.from({ length: count }, (_, index) => this.row(index)));
    this.more.hidden = !this.found || count >= this.found.scales.length;
    this.mark();
  }

  row(index) {
    const label = `Direction ${index + 1}`;
    const share = this.found.shares[index];
    const range = el("input", { type: "range", min: -6, max: 6, step: 0.05, "aria-label": label });
    const number = el("input", { type: "number", min: -20, max: 20, step: 0.1, "aria-label": label });
    range.addEventListener("input", () => this.set(index, Number(range.value)));
    number.addEventListener("input", () => {
      const value = number.value.trim() === "" ? NaN : Number(number.value);
      const good = Number.isFinite(value) && Math.abs(value) <= 20;
      number.setAttribute("aria-invalid", String(!good));
      number.title = good ? "" : "expected −20 to 20";
      if (good) this.set(index, value);
    });
    const name = el("label", { ondblclick: () => this.set(index, 0), title: `${(share * 100).toFixed(1)} % of the sum (double-click: reset)` }, `${label.slice(10)} · ${(share * 100).toFixed(0)} %`);
    const row = el("div", { class: "row" }, name, range, number);
    row.show = () => {
      const amount = this.app.store.get("offsets").find((o) => this.isMine(o) && o.index === index)?.amount ?? 0;
      range.value = amount;
      if (document.activeElement !== number) number.value = Number(amount.toFixed(2));
    };
    return row;
  }

  mark() {
    for (const row of this.rows.children) row.show();
    const others = this.app.store.get("offsets").filter((o) => !this.isMine(o));
    const text = (o) => `${o.kind} ${o.index + 1}${o.layers.length ? ` on w ${o.layers[0]}–${o.layers.at(-1)}` : ""}: ${o.amount.toFixed(2)}`;
    this.others.textContent = others.length ? `Also: ${others.map(text).join(" · ")}` : "";
    this.reset.disabled = !this.app.store.get("offsets").length;
  }
}
