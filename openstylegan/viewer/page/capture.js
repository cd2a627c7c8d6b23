// The section that keeps things: the picture, a film of a recorded path or of keyframes, the state, a command line.

import { button, copy, el, fill, line, note, save, toast } from "./dom.js";
import { fromObject, same } from "./state.js";

const MOST = 1000;

/** Recorded [{view, at}] as keyframes at a steady rate: {views, frames} of which no more than 1000 are views. */
export function keyframes(path, fps) {
  const seconds = (path.at(-1).at - path[0].at) / 1000;
  const total = Math.max(Math.round(seconds * fps), 1) + 1;
  const frames = Math.ceil(total / MOST);
  const count = Math.max(Math.ceil(total / frames), 2);
  const views = [];
  let n = 0;
  for (let k = 0; k < count; k++) {
    const at = path[0].at + (k * frames * 1000) / fps;
    while (n + 1 < path.length && path[n + 1].at <= at) n += 1;
    views.push(path[n].view);
  }
  return { views, frames };
}

export class CaptureSection {
  constructor(app) {
    this.app = app;
    this.path = null;
    this.keys = [];
    this.record = button("Record", () => this.toggle(), { "aria-pressed": "false" });
    this.add = button("Add keyframe", () => this.addKey());
    this.film = button("Film them", () => this.filmKeys());
    this.clear = button("Clear", () => { this.keys = []; this.show(); });
    this.frames = el("input", { type: "number", min: 1, max: 1000, step: 1, value: 60, "aria-label": "Frames from keyframe to keyframe" });
    this.fps = el("input", { type: "number", min: 1, max: 100, step: 1, value: 30, "aria-label": "Frames a second" });
    for (const input of [this.frames, this.fps]) input.addEventListener("input", () => whole(input));
    this.closed = el("input", { type: "checkbox", checked: true });
    this.format = el("select", { "aria-label": "Film format" });
    this.cancel = button("Cancel", () => app.socket.send({ type: "cancel", id: this.running }), { hidden: true });
    this.status = note();
    this.command = el("textarea", { readonly: true, hidden: true, "aria-label": "Command line", spellcheck: "false" });
    this.file = el("input", { type: "file", accept: ".json,application/json", hidden: true });
    this.file.addEventListener("change", () => this.load());
    fill("s-capture",
      line(button("PNG", () => this.png(), { class: "primary", title: "Save the picture (S)" }), button("State", () => this.state(), { title: "Save the state as JSON" }),
        button("Load state", () => this.file.click()), button("Copy link", () => copy(location.href, "Link")), button("Command", () => this.line())),
      this.command,
      line(el("span", { class: "soft" }, "Film what you do"), this.record, this.format, this.fps, el("span", { class: "soft" }, "/ s")),
      line(el("span", { class: "soft" }, "Film keyframes"), this.add, this.film, this.clear),
      line(this.frames, el("span", { class: "soft" }, "frames each"), el("label", { class: "check" }, this.closed, "back to the first")),
      line(this.cancel), this.status, this.file);
    app.store.watch(() => this.sample());
    this.show();
  }

  /** What the server can write. */
  take(hello) {
    this.format.replaceChildren(...hello.films.map((format) => el("option", { value: format }, format)));
    this.record.disabled = this.add.disabled = !hello.films.length;
    this.saves = hello.saves;
  }

  /** Asks for a capture; the answer, or null after saying why not. */
  async ask(message, progress) {
    try {
      const answer = this.app.socket.ask({ type: "capture", ...message }, "done", progress);
      this.running = answer.id;
      const done = await answer;
      this.status.textContent = done.path ? `kept as ${done.path}` : "";
      return done;
    } catch (error) {
      this.status.textContent = "";
      toast(error.message);
      return null;
    }
  }

  async png() {
    const done = await this.ask({ kind: "png", view: this.app.store.view() });
    if (!done?.picture) return;
    save(done.picture.blob, done.name);
    toast(`${done.name} saved`);
  }

  async state() {
    const done = await this.ask({ kind: "json", view: this.app.store.view() });
    if (done) save(new Blob([done.text], { type: "application/json" }), done.name);
  }

  async load() {
    const [file] = this.file.files;
    this.file.value = "";
    if (!file) return;
    try {
      if (file.size > 1e6) throw new Error("too large");
      this.app.restore(fromObject(JSON.parse(await file.text())));
    } catch {
      toast("That file holds no state.");
    }
  }

  async line() {
    const done = await this.ask({ kind: "command", view: this.app.store.view() });
    if (!done) return;
    this.command.value = done.text;
    this.command.hidden = false;
    this.status.textContent = done.left_out.length ? `It leaves out: ${done.left_out.join("; ")}` : "";
    copy(done.text, "Command");
  }

  /** One more place of the recorded path: of the state, not of pictures, so a slow machine films as evenly as a fast one. */
  sample() {
    if (!this.path) return;
    const [{ view: first }] = this.path;
    const view = this.app.store.view();
    if (first.model === view.model && first.mode === view.mode) this.path.push({ view, at: performance.now() });
  }

  toggle() {
    if (!this.path) {
      this.path = [{ view: this.app.store.view(), at: performance.now() }];
      this.show();
      return;
    }
    const path = [...this.path, { view: this.path.at(-1).view, at: performance.now() }];
    this.path = null;
    this.show();
    if (path.slice(1).every(({ view }) => same(view, path[0].view))) toast("Nothing moved while it was recorded.");
    else if (whole(this.fps)) this.write({ ...keyframes(path, Number(this.fps.value)), closed: false });
  }

  addKey() {
    const view = this.app.store.view();
    const [first] = this.keys;
    if (first && (first.model !== view.model || first.mode !== view.mode)) return toast("Keyframes must be of one network and one mode.");
    if (this.keys.length >= MOST) return toast(`At most ${MOST} keyframes.`);
    this.keys.push(view);
    return this.show();
  }

  filmKeys() {
    if (whole(this.frames) && whole(this.fps)) this.write({ views: this.keys, frames: Number(this.frames.value), closed: this.closed.checked });
  }

  async write(film) {
    this.cancel.hidden = false;
    const progress = ({ what, done, total }) => { this.status.textContent = total ? `${what}: ${done} of ${total}` : what; };
    const done = await this.ask({ kind: "video", fps: Number(this.fps.value), format: this.format.value || null, ...film }, progress);
    this.cancel.hidden = true;
    if (!done?.picture) return;
    save(done.picture.blob, done.name);
    toast(`${done.name} saved`);
  }

  show() {
    this.record.textContent = this.path ? "Stop and film" : "Record";
    this.record.classList.toggle("recording", Boolean(this.path));
    this.record.setAttribute("aria-pressed", String(Boolean(this.path)));
    this.add.textContent = this.keys.length ? `Add (${this.keys.length})` : "Add";
    this.film.disabled = this.keys.length < 2;
    this.clear.disabled = !this.keys.length;
  }
}

function whole(input) {
  const value = Number(input.value);
  const good = input.value.trim() !== "" && Number.isInteger(value) && value >= Number(input.min) && value <= Number(input.max);
  input.setAttribute("aria-invalid", String(!good));
  input.title = good ? "" : `expected ${input.min} to ${input.max}`;
  return good;
}
