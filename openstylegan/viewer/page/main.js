// The page: puts store, connection, canvas and sections together, and keeps the address, the theme and the banner.

import { CaptureSection } from "./capture.js";
import { DirectionSection } from "./directions.js";
import { $, toast } from "./dom.js";
import { keyboard } from "./keys.js";
import { LatentSections, seedAt } from "./latent.js";
import { CompareSection, LayerSection } from "./layers.js";
import { Motion } from "./motion.js";
import { NetworkSection } from "./network.js";
import { PerformanceSection } from "./performance.js";
import { recolour } from "./plot.js";
import { Socket } from "./socket.js";
import { Stage } from "./stage.js";
import { fromFragment, same, Store, toFragment, VIEW } from "./state.js";
import { Views } from "./views.js";
import { WatchView } from "./watch.js";

const THEMES = { system: "◐", light: "☀", dark: "☾" };
const SPINNER_MS = 250;

class App {
  constructor() {
    this.store = new Store();
    this.socket = new Socket();
    this.stage = new Stage($("picture"));
    this.views = new Views(this.store, this.socket, this.stage);
    this.view = "explore";
    this.network = null;
    this.networkListeners = [];
    this.networks = new NetworkSection(this);
    this.latent = new LatentSections(this);
    this.directions = new DirectionSection(this);
    this.layers = new LayerSection(this);
    this.compare = new CompareSection(this);
    this.capture = new CaptureSection(this);
    this.performance = new PerformanceSection(this);
    this.watching = new WatchView(this);
    this.motion = new Motion(this.store, this.views);
    this.wire();
    keyboard(this);
    remembered();
    this.socket.connect();
  }

  wire() {
    this.socket.on("up", (hello) => this.greet(hello));
    this.socket.on("down", (lost) => this.down(lost));
    this.socket.on("models", (models) => this.watching.list(models));
    this.views.onPicture((header, trouble) => this.pictured(header, trouble));
    this.store.watch(() => this.remember());
    window.addEventListener("hashchange", () => this.restore({ ...defaults(), ...fromFragment(location.hash) }));
    for (const choice of $("views").children) choice.addEventListener("click", () => this.show(choice.dataset.view));
    $("drawer").addEventListener("click", () => this.toggleDrawer());
    setInterval(() => this.status(), 500);
  }

  /** Calls `listener(network)` whenever a network has been opened. */
  onNetwork(listener) {
    this.networkListeners.push(listener);
  }

  /** The server is there, for the first time or again: everything that it must know is said again. */
  async greet(hello) {
    $("lost").hidden = true;
    $("connection").className = "up";
    this.networks.take(hello.models);
    this.watching.list(hello.models);
    this.capture.take(hello);
    const first = this.network === null;
    const asked = fromFragment(location.hash).model;
    const model = [this.store.get("model"), asked, hello.first].find((id) => id && this.networks.has(id)) ?? "";
    if (first) this.store.set(fromFragment(location.hash));
    if (first && hello.first_run) this.watching.run = hello.first_run;
    this.store.set({ model });
    await this.compare.again();
    if (model) await this.openModel(model, true);
    else this.nothing(hello.first_run);
    if (this.view === "watch") this.watching.follow();
  }

  nothing(run) {
    this.spin(false);
    if (run || this.watching.first) this.show("watch");
    else this.trouble("No network is open. Choose one in the panel, or start the viewer with a file, a URL or a run folder.");
  }

  /** Opens a network of the list and shows the present state with it. */
  async openModel(id, again = false) {
    if (!again && this.network?.model === id && this.store.get("model") === id) return;
    this.views.stop();
    this.store.set({ model: id });
    this.trouble("");
    this.spin(true);
    this.opening = id;
    try {
      const network = await this.socket.ask({ type: "open", model: id }, "network", (p) => { $("caption").textContent = p.what; });
      if (this.opening !== id) return;
      const known = same({ ...network, id: 0 }, { ...this.network, id: 0 });
      this.network = network;
      if (!known) this.networks.show(network);
      if (!known) for (const listener of this.networkListeners) listener(network);
      this.views.start();
    } catch (error) {
      if (this.opening === id && this.socket.up) this.pictured(null, error.message);
    }
  }

  /** Takes a whole state, opening its network where that is another. */
  restore(view) {
    const { model, ...rest } = view;
    this.store.set(rest);
    if (model && this.networks.has(model)) this.openModel(model);
  }

  watchRun(run) {
    this.watching.follow(run);
    this.show("watch");
  }

  show(view) {
    if (view === this.view) return;
    this.view = view;
    const watch = view === "watch";
    $("watch").hidden = !watch;
    $("explore").hidden = $("panel").hidden = $("drawer").hidden = watch;
    for (const choice of $("views").children) choice.setAttribute("aria-pressed", String(choice.dataset.view === view));
    if (watch) {
      this.motion.halt();
      this.watching.follow();
    } else {
      this.watching.rest();
    }
  }

  down({ pause, attempts }) {
    $("connection").className = "down";
    this.spin(false);
    $("lost").hidden = false;
    const hint = attempts > 3 ? " If it was started anew, open the address that it printed." : "";
    $("lost").textContent = `The server is not there. Trying again in ${pause} s; what you see is kept.${hint}`;
  }

  pictured(header, trouble) {
    this.spin(false);
    this.trouble(header ? "" : trouble);
    if (header) this.caption(header);
  }

  trouble(text) {
    $("trouble").textContent = text ?? "";
    $("trouble").hidden = !text;
    $("picture").classList.toggle("off", Boolean(text));
    if (text) $("caption").textContent = "";
  }

  /** A spinner that comes only when something takes long. */
  spin(on) {
    clearTimeout(this.spinning);
    $("spinner").hidden = true;
    if (on) this.spinning = setTimeout(() => { $("spinner").hidden = false; }, SPINNER_MS);
  }

  caption(header) {
    const [x, y] = [this.store.get("x"), this.store.get("y")];
    const whole = Number.isInteger(x) && Number.isInteger(y);
    const place = whole ? `seed ${seedAt(x, y)}` : `${x.toFixed(2)}, ${y.toFixed(2)} from seed ${seedAt(x, y)}`;
    const zoom = this.stage.zoom();
    const size = `${header.width * header.scale} × ${header.height * header.scale}`;
    const parts = [place, size, zoom >= 1 ? `${zoom}×` : `${Math.round(zoom * 100)} %`];
    if (header.shown && header.shown.name !== "output") parts.unshift(header.shown.name);
    $("caption").textContent = [...parts, ...header.notes].join(" · ");
  }

  status() {
    const rate = this.views.rate();
    const text = !this.socket.up ? "no server" : rate ? `${rate.toFixed(0)} / s` : "ready";
    $("connection").lastElementChild.textContent = text;
  }

  /** The address follows the state, a moment later. */
  remember() {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      if (!this.network) return;
      const fragment = toFragment(this.store.view());
      if (`#${fragment}` !== (location.hash || "#")) history.replaceState(null, "", `${location.pathname}${location.search}#${fragment}`);
    }, 400);
  }

  toggleDrawer() {
    const open = document.body.classList.toggle("open");
    $("drawer").setAttribute("aria-expanded", String(open));
  }

  closeDrawer() {
    document.body.classList.remove("open");
    $("drawer").setAttribute("aria-expanded", "false");
  }
}

const defaults = () => Object.fromEntries(Object.entries(VIEW).map(([key, spec]) => [key, spec.value]));

function kept(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    toast("This browser does not let the page remember that.");
  }
}

/** The theme and the open sections, as they were left. */
function remembered() {
  const use = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    $("theme").textContent = THEMES[theme];
    $("theme").setAttribute("aria-label", `Colours: ${theme}`);
    $("theme").title = `Colours: ${theme}`;
    recolour();
  };
  const names = Object.keys(THEMES);
  let theme = names.includes(kept("theme")) ? kept("theme") : "system";
  use(theme);
  $("theme").addEventListener("click", () => {
    theme = names[(names.indexOf(theme) + 1) % names.length];
    keep("theme", theme);
    use(theme);
  });
  const open = kept("sections");
  const narrow = window.matchMedia("(max-width: 760px)").matches;
  for (const section of document.querySelectorAll("#panel > details")) {
    if (Array.isArray(open)) section.open = open.includes(section.id);
    else if (narrow && section.id === "s-network") section.open = false;
    section.addEventListener("toggle", () => keep("sections", [...document.querySelectorAll("#panel > details[open]")].map((s) => s.id)));
  }
}

new App();
