// The training watch: a run's state, its grids as they come, its curves.

import { $, button, el, note, toast } from "./dom.js";
import { chart, redraw, short } from "./plot.js";

const KEPT_POINTS = 4000;
/** Charts by heading, and which curves stand in one; others by their own name. */
const GROUPS = [
  ["Losses", ["Loss/G/loss", "Loss/D/loss"]],
  ["Scores of D", ["Loss/scores/real", "Loss/scores/fake"]],
  ["Signs of D", ["Loss/signs/real", "Loss/signs/fake"]],
  ["Augmentation p", ["Progress/augment"]],
  ["Images a second", ["Speed/images_per_second"]],
];
const LAST = ["Timing/", "Resources/", "Progress/", "Health/"];

/** How long, in two units at most. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  let left = Math.max(Math.round(seconds), 0);
  const parts = [];
  for (const [unit, size] of units) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n || (parts.length && parts.length < 2)) parts.push(`${n}${unit}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0s";
}

export class WatchView {
  constructor(app) {
    this.app = app;
    this.run = null;
    this.forget();
    this.select = el("select", { "aria-label": "Run to watch", onchange: () => this.follow(this.select.value) });
    this.newest = button("Explore its newest snapshot", () => this.explore());
    this.tiles = el("dl", { class: "tiles" });
    this.health = el("div", { class: "health", role: "status", hidden: true });
    this.fakes = el("canvas", { class: "grid-picture", role: "img", "aria-label": "Generated pictures" });
    this.reals = el("canvas", { class: "grid-picture", role: "img", "aria-label": "Real pictures" });
    this.slider = el("input", { type: "range", min: 0, max: 0, step: 1, "aria-label": "Grid over time" });
    this.slider.addEventListener("input", () => { this.following = Number(this.slider.value) === this.grids.length - 1; this.showGrid(); });
    this.when = el("output");
    this.charts = el("div", { class: "charts" });
    const head = el("div", { class: "watch-head" }, this.select, this.newest);
    const left = el("div", { class: "card" }, el("h3", {}, "Generated"), this.fakes, el("div", { class: "row" }, el("span", { class: "name" }, "over time"), this.slider, this.when));
    const right = el("div", { class: "card" }, el("h3", {}, "Real"), this.reals);
    this.empty = note("No run to watch. Give a run folder, or the folder above, to `openstylegan view`.");
    this.body = el("div", {}, this.tiles, this.health, el("div", { class: "watch-columns" }, left, right), this.charts);
    $("watch").replaceChildren(head, this.empty, this.body);
    app.socket.on("watched", (message) => { if (message.run === this.run) this.take(message); });
    redraw(this.charts, () => this.drawCharts());
  }

  forget() {
    this.curves = new Map();
    this.grids = [];
    this.cards = new Map();
    this.following = true;
    this.realsAt = this.wanted = null;
    this.charts?.replaceChildren();
  }

  /** The list of runs that can be watched. */
  list(models) {
    const runs = models.runs.filter((run) => run.watchable);
    this.select.replaceChildren(...runs.map((run) => el("option", { value: run.id, title: run.place }, run.name)));
    this.select.hidden = this.newest.hidden = this.body.hidden = !runs.length;
    this.empty.hidden = runs.length > 0;
    if (this.run) this.select.value = this.run;
    this.first = runs[0]?.id ?? null;
  }

  /** Begins to follow a run, the first when none is named. */
  follow(run = this.run ?? this.first) {
    const { socket } = this.app;
    if (this.run && this.run !== run) socket.send({ type: "unwatch", run: this.run });
    if (!run) return;
    if (this.run !== run) this.forget();
    this.run = run;
    this.select.value = run;
    socket.ask({ type: "watch", run }, "watched").catch((error) => toast(error.message));
  }

  rest() {
    if (this.run) this.app.socket.send({ type: "unwatch", run: this.run });
  }

  take(message) {
    if (message.first) this.forget();
    for (const [name, points] of Object.entries(message.curves)) {
      const all = [...(this.curves.get(name) ?? []), ...points];
      this.curves.set(name, all.length > KEPT_POINTS ? all.filter((_, n) => n % 2 === 0 || n === all.length - 1) : all);
    }
    this.status(message.status);
    this.health.hidden = !message.health.length;
    this.health.replaceChildren(...message.health.map((text) => el("p", {}, text)));
    if (message.models) this.app.networks.takeRun(message.models);
    this.takeGrids(message.grids);
    this.drawCharts();
  }

  status(s) {
    const tiles = [
      ["State", s.state, s.age === null ? "" : `${duration(s.age)} ago`],
      ["Images", s.kimg === null ? "–" : short(s.kimg), s.total_kimg === null ? "kimg" : `of ${short(s.total_kimg)} kimg`],
      ["Images a second", s.images_per_second === null ? "–" : short(s.images_per_second)],
      ["Augmentation p", s.augment_p === null ? "–" : s.augment_p.toFixed(3)],
      ["Time so far", s.seconds === null ? "–" : duration(s.seconds)],
      ["Time left", s.state === "finished" ? "done" : s.eta === null ? "–" : duration(s.eta)],
      ["Skipped steps", s.skipped_steps === null ? "–" : String(s.skipped_steps)],
    ];
    this.tiles.replaceChildren(...tiles.map(([name, value, more]) => el("div", {}, el("dt", {}, name), el("dd", {}, value, more ? el("small", {}, ` ${more}`) : null))));
  }

  takeGrids(grids) {
    for (const grid of grids) {
      if (grid.kimg === null) this.showReals(grid);
      else this.grids = [...this.grids.filter((old) => old.name !== grid.name), grid].sort((a, b) => a.kimg - b.kimg);
    }
    this.slider.max = Math.max(this.grids.length - 1, 0);
    if (this.following) this.slider.value = this.slider.max;
    if (grids.length) this.showGrid();
  }

  async showGrid() {
    const grid = this.grids[Number(this.slider.value)];
    if (!grid) return;
    this.when.textContent = `${short(grid.kimg)} kimg`;
    this.wanted = grid.name;
    if (this.loading) return;
    this.loading = true;
    await this.paint(this.fakes, grid.name);
    this.loading = false;
    if (this.wanted !== grid.name) this.showGrid();
  }

  async showReals(grid) {
    if (this.realsAt === grid.modified) return;
    this.realsAt = grid.modified;
    await this.paint(this.reals, grid.name);
  }

  async paint(canvas, name) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.min(Math.max(Math.round((canvas.clientWidth || 600) * ratio), 16), 8192);
    try {
      const { blob } = await this.app.socket.ask({ type: "grid", run: this.run, name, width }, "picture");
      const bitmap = await createImageBitmap(blob);
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      canvas.dataset.name = name;
      bitmap.close();
    } catch {
      canvas.dataset.name = "";
    }
  }

  groups() {
    const names = [...this.curves.keys()];
    const grouped = GROUPS.map(([title, members]) => [title, members.filter((n) => names.includes(n))]).filter(([, members]) => members.length);
    const taken = new Set(grouped.flatMap(([, members]) => members));
    const rank = (n) => (n.startsWith("Metrics/") ? -1 : LAST.findIndex((prefix) => n.startsWith(prefix)) + 1);
    const rest = names.filter((n) => !taken.has(n)).sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
    const metrics = rest.filter((n) => rank(n) < 0);
    const others = rest.filter((n) => rank(n) >= 0);
    const single = (n) => [n.replace("Metrics/", ""), [n]];
    return [...metrics.map(single), ...grouped, ...others.map(single)];
  }

  drawCharts() {
    if (!this.charts.clientWidth) return;
    for (const [title, members] of this.groups()) {
      if (!this.cards.has(title)) this.cards.set(title, this.card(title));
      const { canvas, legend } = this.cards.get(title);
      const series = members.map((name) => this.curves.get(name));
      const lastOf = (points) => short(points.at(-1)?.[1] ?? NaN);
      legend.replaceChildren(...members.map((name, n) => el("span", { class: `k${n % 6}` }, el("i"), el("b", {}, `${members.length > 1 ? `${name.replace(/^Loss\//, "").replace(/^(scores|signs)\//, "")} ` : ""}${lastOf(series[n])}`))));
      chart(canvas, series);
    }
  }

  card(title) {
    const canvas = el("canvas", { role: "img", "aria-label": `${title} over thousands of images` });
    const legend = el("div", { class: "legend" });
    this.charts.append(el("div", { class: "card chart" }, el("h3", {}, title), legend, canvas));
    return { canvas, legend };
  }

  explore() {
    const run = this.app.networks.models.runs.find((other) => other.id === this.run);
    const [model] = run ? [...this.app.networks.numbered(run)].reverse() : [];
    if (!model) return;
    this.app.show("explore");
    this.app.openModel(model.id);
  }
}
