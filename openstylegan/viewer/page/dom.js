// Small pieces of a page: elements, and fields that are bound to a store and check their range. Text is only ever set
// as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** An element: attributes by name, `on…` as listeners, the rest children; strings become text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A body of a section of the panel, emptied and filled. */
export function fill(id, ...children) {
  $(id).querySelector(":scope > div").replaceChildren(...children);
}

export function button(text, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, text);
}

export const line = (...children) => el("div", { class: "line" }, ...children);
export const note = (text = "") => el("p", { class: "note" }, text);

let serial = 0;
const nextId = () => `f${++serial}`;

/** Sets a property where it differs, so that nothing is laid out anew without need. */
function put(input, name, value) {
  if (input[name] !== String(value)) input[name] = value;
}

/** What is wrong with `value` for a field, or "". */
export function wrong(spec, value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "expected a number";
  if (value < spec.min || value > spec.max) return `expected ${format(spec.min)} to ${format(spec.max)}`;
  if (spec.integer && !Number.isInteger(value)) return "expected a whole number";
  return "";
}

export function format(value, digits = 3) {
  return String(Number(value.toFixed(digits))).replace("-", "−");
}

/** A number input of the store's field `key`; what is out of range is marked, said, and not taken. */
export function number(store, key, label) {
  const spec = store.spec(key);
  const input = el("input", { type: "number", min: spec.min, max: spec.max, step: spec.step, "aria-label": label, inputmode: "decimal" });
  const show = () => {
    if (document.activeElement === input && Number(input.value) === store.get(key)) return;
    put(input, "value", Number(store.get(key).toFixed(spec.digits ?? 3)));
    if (input.title) complain("");
  };
  const complain = (text) => {
    input.setAttribute("aria-invalid", text ? "true" : "false");
    input.title = text;
    input.setCustomValidity(text);
  };
  input.addEventListener("input", () => {
    const value = input.value.trim() === "" ? NaN : Number(input.value);
    const text = wrong(store.spec(key), value);
    complain(text);
    if (!text) store.set({ [key]: value });
  });
  input.addEventListener("blur", () => { input.value = ""; show(); });
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") input.blur(); });
  store.watch(() => {
    put(input, "min", store.spec(key).min);
    put(input, "max", store.spec(key).max);
    if (input.getAttribute("aria-invalid") !== "true" || document.activeElement !== input) show();
  });
  return input;
}

function name(store, key, label, id) {
  const reset = () => store.reset(key);
  return el("label", { for: id, title: `${label} (double-click: reset)`, ondblclick: reset }, label);
}

/** A range input of one field; it may span less than the field allows. */
export function range(store, key, label) {
  const input = el("input", { type: "range", step: store.spec(key).step, "aria-label": label });
  input.addEventListener("input", () => store.set({ [key]: Number(input.value) }));
  store.watch(() => {
    const spec = store.spec(key);
    put(input, "min", spec.low ?? spec.min);
    put(input, "max", spec.high ?? spec.max);
    put(input, "value", store.get(key));
  });
  return input;
}

/** Name, slider and number of one field. */
export function slider(store, key, label) {
  const input = range(store, key, label);
  input.id = nextId();
  return el("div", { class: "row" }, name(store, key, label, input.id), input, number(store, key, label));
}

/** Name and number of one field, with anything between them. */
export function numbered(store, key, label, ...between) {
  const input = number(store, key, label);
  input.id = nextId();
  return el("div", { class: "row" }, name(store, key, label, input.id), line(...between), input);
}

export function checkbox(store, key, label) {
  const input = el("input", { type: "checkbox" });
  input.addEventListener("change", () => store.set({ [key]: input.checked }));
  store.watch(() => { input.checked = store.get(key); });
  return el("label", { class: "check" }, input, label);
}

/** Buttons of which one is pressed: `choices` is {value: text}. */
export function segments(store, key, label, choices) {
  const buttons = Object.entries(choices).map(([value, text]) => {
    const made = button(text, () => store.set({ [key]: value }));
    store.watch(() => made.setAttribute("aria-pressed", String(store.get(key) === value)));
    return made;
  });
  return el("div", { class: "segments", role: "group", "aria-label": label }, ...buttons);
}

let toastTimer = 0;

/** A word that appears and goes. */
export function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("shown"), 2600);
}

/** Offers `blob` as a file. */
export function save(blob, filename) {
  const link = el("a", { href: URL.createObjectURL(blob), download: filename });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast(`${what}: this browser does not let pages copy; select the text instead`);
  }
}
