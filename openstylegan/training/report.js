"use strict";
document.documentElement.classList.add("has-js");

// The grids over time: one at a time, with a slider. Without this script they are a plain list.
for (const film of document.querySelectorAll(".film")) {
  const frames = [...film.querySelectorAll("li")];
  if (frames.length < 2) continue;
  const controls = document.createElement("div");
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: frames.length - 1 });
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Play" });
  controls.className = "controls";
  slider.setAttribute("aria-label", "time of the generated pictures");
  let timer = null;
  const show = (index) => {
    slider.value = index;
    frames.forEach((frame, n) => frame.classList.toggle("now", n === Number(index)));
    slider.setAttribute("aria-valuetext", frames[index].dataset.label);
  };
  const stop = () => { clearInterval(timer); timer = null; button.textContent = "Play"; };
  slider.addEventListener("input", () => { stop(); show(slider.value); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    show(0);
    button.textContent = "Stop";
    timer = setInterval(() => {
      if (Number(slider.value) >= frames.length - 1) return stop();
      show(Number(slider.value) + 1);
    }, 700);
  });
  controls.append(button, slider);
  film.append(controls);
  film.classList.add("on");
  show(frames.length - 1);
}

// A pointer over a chart shows the values of the nearest point of every series.
const number = (value) => {
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7)) return value.toExponential(3);
  return value.toLocaleString("en", { maximumSignificantDigits: Math.abs(value) >= 1000 ? 6 : 4 });
};
const nearest = (values, target) => {
  let low = 0, high = values.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] < target) low = middle; else high = middle;
  }
  return target - values[low] < values[high] - target ? low : high;
};
const svgNode = (name, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return node;
};
for (const chart of document.querySelectorAll(".chart")) {
  const data = JSON.parse(chart.querySelector("script").textContent);
  for (const series of data.series) series.kimg ??= data.series[0].kimg;
  const plot = chart.querySelector(".plot"), svg = plot.querySelector("svg"), marks = svg.querySelector(".hover");
  const [kimgLow, kimgHigh, left, right] = data.x, [low, high, bottom, top] = data.y;
  const scale = data.log ? Math.log10 : (value) => value;
  const xOf = (kimg) => left + (kimg - kimgLow) / (kimgHigh - kimgLow) * (right - left);
  const yOf = (value) => bottom + (scale(value) - scale(low)) / (scale(high) - scale(low)) * (top - bottom);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  plot.append(tip);
  const hide = () => { tip.hidden = true; marks.replaceChildren(); };
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("pointercancel", hide);
  const show = (event) => {
    const box = svg.getBoundingClientRect();
    const at = kimgLow + ((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width - left) / (right - left) * (kimgHigh - kimgLow);
    const lead = data.series.reduce((a, b) => (b.kimg.length > a.kimg.length ? b : a));
    const kimg = lead.kimg[nearest(lead.kimg, at)];
    const lines = [document.createElement("div")];
    lines[0].textContent = number(kimg) + " kimg";
    marks.replaceChildren(svgNode("path", { class: "cursor", d: `M${xOf(kimg)} ${top}V${bottom}` }));
    data.series.forEach((series, n) => {
      const index = nearest(series.kimg, kimg), value = series.value[index];
      const line = document.createElement("div"), dot = document.createElement("i");
      dot.className = "s" + n;
      const spread = series.spread && series.spread[index] ? " ± " + number(series.spread[index]) : "";
      line.append(dot, (series.label ? series.label + " " : "") + number(value) + spread);
      lines.push(line);
      marks.append(svgNode("circle", { class: "dot s" + n, cx: xOf(series.kimg[index]), cy: yOf(value), r: 3.4 }));
    });
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const x = xOf(kimg) / svg.viewBox.baseVal.width * box.width;
    tip.style.left = (x + 12 + tip.offsetWidth > box.width ? Math.max(x - 12 - tip.offsetWidth, 0) : x + 12) + "px";
  };
  plot.addEventListener("pointermove", show);
  plot.addEventListener("pointerdown", show);
}

// The log is read from its end.
for (const pre of document.querySelectorAll("details pre")) {
  pre.parentElement.addEventListener("toggle", () => { pre.scrollTop = pre.scrollHeight; });
}

// Reload while a run goes on; the choice is kept in the address, so that it survives the reload.
const live = document.getElementById("live");
let reload = null;
const follow = () => {
  clearTimeout(reload);
  if (live.checked) reload = setTimeout(() => location.reload(), 20000);
};
live.checked = location.hash === "#live";
live.addEventListener("change", () => {
  history.replaceState(null, "", live.checked ? "#live" : "#");
  follow();
});
follow();
