// From state to pixels: at most one view is asked for at a time, and the newest waits, unless it shows something else:
// then the server breaks off what it draws. Frames and latencies are counted.

import { same } from "./state.js";

const KEPT = 60;
const PATIENCE_MS = 20000;

const subject = (view) => `${view?.model} ${view?.mode} ${view?.layer}`;

export class Views {
  constructor(store, socket, stage) {
    Object.assign(this, { store, socket, stage });
    this.ready = false;
    this.override = null;
    this.sent = null;
    this.outstanding = null;
    this.drawn = 0;
    this.newest = 0;
    this.frames = [];
    this.latencies = [];
    this.listeners = [];
    this.lastSend = 0;
    store.watch(() => this.pump());
    socket.on("picture", (picture) => { if (picture.header.kind === "view") this.receive(picture); });
    socket.on("error", (message) => this.failed(message));
    socket.on("down", () => {
      this.outstanding = null;
      this.ready = false;
      this.stage.canvas.dataset.busy = "true"; // what is on the canvas may not be what the state says
    });
  }

  /** Calls `listener(header)` after every picture that is on the canvas, or `listener(null, text)` after an error. */
  onPicture(listener) {
    this.listeners.push(listener);
  }

  /** Begins, or begins anew: the present view is asked for whatever was asked before. */
  start() {
    this.ready = true;
    this.sent = this.outstanding = null;
    this.pump();
  }

  stop() {
    this.ready = false;
    this.outstanding = null;
  }

  /** Shows `view` instead of the state's until called with null. */
  instead(view) {
    this.override = view;
    this.pump();
  }

  pump() {
    if (!this.ready) return;
    const now = performance.now();
    const view = this.override ?? this.store.view();
    if (same(view, this.sent)) return;
    this.stage.canvas.dataset.busy = "true";
    if (this.outstanding && subject(view) === subject(this.sent) && now - this.outstanding.at < PATIENCE_MS) return;
    const wait = this.lastSend + 1000 / this.store.get("fps_limit") - now;
    if (wait > 1) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.pump(), wait);
      return;
    }
    const width = Math.min(Math.round(this.stage.shownWidth()), 32768);
    const id = this.socket.send({ type: "view", view, width });
    if (id === null) return;
    const { changedAt } = this.store;
    this.outstanding = { id, at: now, changedAt: changedAt > this.lastSend ? changedAt : now };
    this.sent = view;
    this.lastSend = now;
  }

  async receive({ header, blob }) {
    const mine = this.outstanding?.id === header.id ? this.outstanding : null;
    if (header.id < this.newest) return;
    this.newest = header.id;
    if (mine) {
      this.outstanding = null;
      this.pump(); // the server draws the next one while this one is decoded
    }
    let bitmap = null;
    try {
      bitmap = await createImageBitmap(blob);
    } catch {
      this.report(null, `the browser cannot read a picture of the format ${header.format}`);
    }
    this.socket.send({ type: "ack", id: header.id });
    if (bitmap && header.id >= this.drawn) this.draw(bitmap, header, mine);
    this.pump();
  }

  draw(bitmap, header, mine) {
    this.drawn = header.id;
    this.stage.show(bitmap, header.width * header.scale, header.height * header.scale);
    if (header.full && !this.outstanding) this.stage.canvas.dataset.busy = "false";
    this.lastDrawn = performance.now();
    if (mine) {
      const latency = this.lastDrawn - mine.changedAt;
      this.frames = [...this.frames, this.lastDrawn].slice(-KEPT);
      this.latencies = [...this.latencies, latency].slice(-KEPT);
      this.stage.canvas.dispatchEvent(new CustomEvent("drawn", { detail: { latency, ms: header.ms } }));
    }
    this.report(header);
  }

  failed({ id, message }) {
    if (!this.outstanding || this.outstanding.id !== id) return;
    this.outstanding = null;
    this.report(null, message);
    this.pump();
  }

  report(header, trouble) {
    if (trouble) this.stage.canvas.dataset.busy = "false";
    for (const listener of this.listeners) listener(header, trouble);
  }

  /** Frames a second over the last second, or 0 when nothing moves. */
  rate() {
    const recent = this.frames.filter((at) => at > performance.now() - 1500);
    return recent.length < 3 ? 0 : ((recent.length - 1) * 1000) / (recent.at(-1) - recent[0]);
  }

  /** A quantile of the recent latencies in milliseconds. */
  latency(share) {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)] : NaN;
  }
}
