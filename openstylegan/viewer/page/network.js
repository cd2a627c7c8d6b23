// The section with the networks: a tree of files and runs, a slider over a run's snapshots, facts of the open one.

import { $, el, fill, note, toast } from "./dom.js";

const megabytes = (bytes) => (bytes ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : "");
const millions = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : `${Math.round(n / 1e3)} k`);

export class NetworkSection {
  constructor(app) {
    this.app = app;
    this.models = { files: [], runs: [] };
    this.open = new Map();
    this.tree = el("div", { class: "tree", role: "group", "aria-label": "Networks" });
    this.filter = el("input", { type: "text", placeholder: "Filter", "aria-label": "Filter networks", oninput: () => this.draw(), hidden: true });
    this.again = el("button", { type: "button", class: "pick", onclick: () => this.look() }, el("small", {}, "look again for new ones"));
    this.slider = el("input", { type: "range", min: 0, max: 0, step: 1, "aria-label": "Snapshot of the run" });
    this.slider.addEventListener("input", () => this.slide());
    this.kimg = el("output");
    this.snapshots = el("div", { class: "row" }, el("span", { class: "name" }, "Snapshot"), this.slider, this.kimg);
    this.facts = el("table", {}, el("tbody"));
    this.about = el("details", { class: "more", hidden: true }, el("summary", {}, "About this network"), this.facts);
    fill("s-network", this.filter, this.tree, this.snapshots, this.about);
    app.socket.on("models", (models) => this.take(models));
    app.store.watch(() => { if (app.store.get("model") !== this.marked) this.mark(); });
    this.draw();
  }

  look() {
    this.app.socket.ask({ type: "models" }, "models").catch((error) => toast(error.message));
  }

  /** A new list of networks. */
  take(models) {
    this.models = models;
    this.filter.hidden = this.all().length < 13;
    this.draw();
  }

  /** One run's entry has changed. */
  takeRun(run) {
    const runs = this.models.runs.map((old) => (old.id === run.id ? run : old));
    this.take({ ...this.models, runs });
  }

  all() {
    return [...this.models.files, ...this.models.runs.flatMap((run) => run.models)];
  }

  has(id) {
    return this.all().some((model) => model.id === id);
  }

  runOf(id) {
    return this.models.runs.find((run) => run.models.some((model) => model.id === id)) ?? null;
  }

  numbered(run) {
    const { models } = run;
    return models.filter((m) => m.kimg !== null && !/best/.test(m.name)).sort((a, b) => a.kimg - b.kimg);
  }

  draw() {
    const word = this.filter.value.trim().toLowerCase();
    const wanted = (model, more = "") => `${model.name} ${model.place} ${more}`.toLowerCase().includes(word);
    const files = this.models.files.filter((model) => wanted(model)).map((model) => this.entry(model));
    const runs = this.models.runs.map((run) => this.run(run, run.models.filter((model) => wanted(model, run.name)))).filter(Boolean);
    const empty = note(word ? "Nothing here has that name." : "No networks yet. Give files, URLs or run folders to `openstylegan view`.");
    this.tree.replaceChildren(...(files.length + runs.length ? [...files, ...runs] : [empty]), this.again);
    this.mark();
  }

  run(run, models) {
    if (!models.length && this.filter.value.trim()) return null;
    const tree = el("details", { title: run.place }, el("summary", {}, run.name));
    const current = this.runOf(this.app.store.get("model"))?.id === run.id;
    tree.open = this.filter.value.trim() !== "" || (this.open.get(run.id) ?? (current || this.models.runs.length === 1));
    tree.addEventListener("toggle", () => this.open.set(run.id, tree.open));
    const fillIn = () => this.fillRun(tree, run, models);
    if (tree.open) fillIn();
    else tree.addEventListener("toggle", fillIn, { once: true });
    return tree;
  }

  /** What stands in a run, made when it is unfolded for the first time. */
  fillRun(tree, run, models) {
    if (run.watchable) {
      const watch = () => this.app.watchRun(run.id);
      tree.append(el("button", { type: "button", class: "pick", onclick: watch }, el("span", {}, "Watch this run"), el("small", {}, "curves, grids")));
    }
    tree.append(...models.map((model) => this.entry(model)));
    if (!models.length) tree.append(note("no snapshot yet"));
    this.mark();
  }

  entry(model) {
    const size = model.error ? "cannot be opened" : megabytes(model.bytes);
    const made = el("button", { type: "button", class: "pick", title: model.error || model.place, onclick: () => this.app.openModel(model.id) },
      el("span", {}, model.name.replace("network-snapshot-", "")), el("small", { class: model.error ? "bad" : null }, size));
    made.dataset.model = model.id;
    return made;
  }

  mark() {
    const id = this.app.store.get("model");
    this.marked = id;
    for (const entry of this.tree.querySelectorAll("[data-model]")) entry.setAttribute("aria-current", String(entry.dataset.model === id));
    const run = this.runOf(id);
    const steps = run ? this.numbered(run) : [];
    this.snapshots.hidden = steps.length < 2;
    this.slider.max = Math.max(steps.length - 1, 0);
    const now = steps.findIndex((model) => model.id === id);
    if (now >= 0) this.slider.value = now;
    this.kimg.textContent = now >= 0 ? `${Math.round(steps[now].kimg)} kimg` : "";
  }

  slide() {
    const run = this.runOf(this.app.store.get("model"));
    if (run) this.app.openModel(this.numbered(run)[Number(this.slider.value)].id);
  }

  /** To the snapshot before or after. */
  step(by) {
    const run = this.runOf(this.app.store.get("model"));
    const steps = run ? this.numbered(run) : [];
    const now = steps.findIndex((model) => model.id === this.app.store.get("model"));
    const next = steps[now + by];
    if (now >= 0 && next) this.app.openModel(next.id);
  }

  /** Facts of an open network. */
  show(network) {
    const [channels, height, width] = network.image_shape;
    const rows = [
      ["family", network.family],
      ["picture", `${width} × ${height}, ${channels} channel${channels === 1 ? "" : "s"}`],
      ["z, w", `${network.z_dim}, ${network.num_ws} × ${network.w_dim}`],
      ["classes", network.classes ? String(network.classes) : "none"],
      ["parameters", millions(network.parameters)],
      ...Object.entries(network.about),
    ];
    this.facts.tBodies[0].replaceChildren(...rows.map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", { title: value }, value))));
    this.about.hidden = false;
    const name = network.name.replace(/^network-snapshot-|\.[a-z]+$/g, "");
    const run = this.runOf(network.model);
    $("title").textContent = run?.name ?? name;
    $("subtitle").textContent = [...(run ? [`snapshot ${name}`] : []), network.family, `${width} × ${height}`].join(" · ");
    document.title = `${run?.name ?? name} · OpenStyleGAN`;
  }
}
