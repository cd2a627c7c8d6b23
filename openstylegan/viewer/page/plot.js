// Small drawings on canvases: lines over time, bars, and their colours, which are those of the page.

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const drawings = new Set();

/** Calls `draw` whenever the canvas gets another size or the page other colours. */
export function redraw(canvas, draw) {
  new ResizeObserver(draw).observe(canvas);
  drawings.add(draw);
}

/** The page has other colours. */
export function recolour() {
  for (const draw of drawings) draw();
}

dark.addEventListener("change", recolour);

/** A context whose unit is a CSS pixel, cleared, and its size; null while the canvas is not shown. */
export function surface(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  return { context, width, height };
}

/** At most four round numbers that span the range. */
export function ticks(low, high, most = 4) {
  if (!(high > low)) return [low];
  const raw = (high - low) / most;
  const base = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * base).find((s) => s >= raw * 0.999) ?? 10 * base;
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

export function short(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(size >= 1000 ? 5 : 3)));
}

/** Recent values as a line from the right edge, the highest value beside it. */
export function sparkline(canvas, values, unit, room = 120) {
  const area = surface(canvas);
  if (!area || values.length < 2) return;
  const { context, width, height } = area;
  const top = Math.max(...values) * 1.15 || 1;
  context.beginPath();
  values.forEach((value, n) => {
    const x = width - ((values.length - 1 - n) * width) / (room - 1);
    context.lineTo(x, height - 4 - (value / top) * (height - 8));
  });
  context.strokeStyle = colour("--accent");
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.stroke();
  context.fillStyle = colour("--soft");
  context.fillText(`${short(top / 1.15)} ${unit}`, 8, 15);
}

/** A histogram: counts between `low` and `high`. */
export function bars(canvas, counts, low, high) {
  const area = surface(canvas);
  if (!area || !counts.length) return;
  const { context, width, height } = area;
  const top = Math.max(...counts, 1);
  const step = (width - 12) / counts.length;
  context.fillStyle = colour("--accent");
  counts.forEach((count, n) => {
    const tall = (count / top) * (height - 26);
    context.fillRect(6 + n * step, height - 18 - tall, Math.max(step - 0.5, 0.5), tall);
  });
  context.fillStyle = colour("--soft");
  context.fillText(short(low), 6, height - 5);
  context.textAlign = "right";
  context.fillText(short(high), width - 6, height - 5);
  context.textAlign = "left";
}

function bounds(series) {
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const points of series) {
    for (const [x, y] of points) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      [x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x), Math.min(y0, y), Math.max(y1, y)];
    }
  }
  if (x0 === x1) x1 = x0 + 1;
  if (y0 === y1) [y0, y1] = [y0 - Math.max(Math.abs(y0) * 0.1, 1e-3), y1 + Math.max(Math.abs(y1) * 0.1, 1e-3)];
  return [x0, x1, y0, y1];
}

/** Lines [[x, y], …] over a common axis; gaps where a value is not a number. */
export function chart(canvas, series) {
  const area = surface(canvas);
  if (!area || !series.some((points) => points.length)) return;
  const { context, width, height } = area;
  const [x0, x1, y0, y1] = bounds(series);
  const [left, bottom] = [44, 18];
  const at = (x, y) => [
    left + ((x - x0) / (x1 - x0)) * (width - left - 8),
    height - bottom - ((y - y0) / (y1 - y0)) * (height - bottom - 8),
  ];
  context.lineWidth = 1;
  context.strokeStyle = colour("--rule");
  context.fillStyle = colour("--soft");
  context.textAlign = "right";
  for (const tick of ticks(y0, y1, 3)) {
    const [, y] = at(x0, tick);
    context.beginPath();
    context.moveTo(left, Math.round(y) + 0.5);
    context.lineTo(width - 8, Math.round(y) + 0.5);
    context.stroke();
    context.fillText(short(tick), left - 6, y + 4);
  }
  context.textAlign = "center";
  for (const tick of ticks(x0, x1, Math.max(2, Math.floor(width / 80)))) context.fillText(short(tick), at(tick, y0)[0], height - 4);
  context.lineWidth = 1.6;
  context.lineJoin = "round";
  series.forEach((points, n) => {
    context.strokeStyle = colour(`--c${n % 6}`);
    context.beginPath();
    let drawing = false;
    for (const [x, y] of points) {
      if (Number.isFinite(x) && Number.isFinite(y)) context[drawing ? "lineTo" : "moveTo"](...at(x, y));
      drawing = Number.isFinite(y);
    }
    context.stroke();
    const last = points.at(-1);
    if (points.length === 1 && last) context.strokeRect(...at(...last).map((v) => v - 1), 2, 2);
  });
}
