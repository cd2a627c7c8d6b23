// The section with how fast it is: frames a second, latency from a change to its pixels, milliseconds by stage.

import { el, fill, note, slider } from "./dom.js";
import { sparkline } from "./plot.js";

const STAGES = ["queue", "mapping", "synthesis", "display", "encode"];
const ms = (value) => (Number.isFinite(value) ? `${value.toFixed(1)} ms` : "–");

export class PerformanceSection {
  constructor(app) {
    this.app = app;
    this.canvas = el("canvas", { class: "plot", role: "img", "aria-label": "Latency of the last pictures" });
    this.body = el("tbody");
    this.path = note();
    fill("s-performance", this.canvas, el("table", {}, this.body), this.path, slider(app.store, "fps_limit", "Limit, 1/s"));
    app.views.onPicture((header) => { if (header) this.header = header; });
    setInterval(() => this.draw(), 500);
  }

  draw() {
    const { views } = this.app;
    if (!this.canvas.clientHeight || !this.header) return;
    const { ms: stages, format, quality, full, width, height, path, device } = this.header;
    const rows = [
      ["pictures a second", views.rate() ? views.rate().toFixed(1) : "idle"],
      ["change to pixels, median", ms(views.latency(0.5))],
      ["change to pixels, 95 %", ms(views.latency(0.95))],
      ...[...STAGES.filter((s) => s in stages), ...Object.keys(stages).filter((s) => !STAGES.includes(s))].map((stage) => [stage, ms(stages[stage])]),
      ["sent as", `${format}${quality ? ` ${quality}` : ""}, ${width} × ${height}${full ? ", lossless" : ""}`],
    ];
    this.body.replaceChildren(...rows.map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", {}, value))));
    this.path.textContent = [device, path].filter(Boolean).join(" · ");
    sparkline(this.canvas, views.latencies, "ms", 60);
  }
}
