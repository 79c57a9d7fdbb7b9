// What the pages do better with scripts: they stay up to date by themselves, and draw plots.
"use strict";

const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const region = document.getElementById("live");
const PAUSED = "dashboard-paused";

// Plots: figures come from the server, inside the page. Lines differ by their dashes, not by colour.
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
const BORDERS = ["solid", "dashed", "dotted", "double"]; // the same, as the legend can show it
const FEW = 30; // so few values are hardly a line: each is marked
const plots = new Map();

function shade(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function short(value, unit) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (unit === "s") return value < 0.001 ? `${(value * 1e6).toFixed(0)} µs` : value < 1 ? `${(value * 1000).toPrecision(3)} ms` : `${value.toPrecision(3)} s`;
  if (unit === "By") {
    const power = Math.min(4, Math.floor(Math.log2(Math.max(1, Math.abs(value))) / 10));
    return `${(value / 1024 ** power).toFixed(power ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
  }
  const text = Math.abs(value) >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 0 }) : String(Number(value.toPrecision(3)));
  return unit === "%" || unit === "/s" ? `${text}${unit === "%" ? " %" : "/s"}` : text;
}

const clock = (seconds, digits) => new Date(seconds * 1000).toTimeString().slice(0, digits);

function axes(plot) {
  const look = { stroke: shade("--soft"), grid: { stroke: shade("--line"), width: 1 }, ticks: { show: false }, font: `11px ${shade("--mono")}` };
  const times = (chart, at) => at.map((seconds) => clock(seconds, chart.scales.x.max - chart.scales.x.min > 240 ? 5 : 8));
  return [
    { ...look, space: 64, size: 30, values: times },
    { ...look, size: 66, values: (chart, at) => at.map((value) => short(value, plot.unit)) },
  ];
}

function line(plot, index) {
  const values = plot.data[index + 1].filter((value) => value !== null);
  return {
    label: plot.series[index],
    stroke: shade(plot.wrong ? "--bad" : "--ink"),
    width: index ? 1.25 : 1.75,
    dash: DASHES[index % DASHES.length],
    points: { show: values.length < FEW, size: 5 },
    value: (chart, value) => short(value, plot.unit),
  };
}

function options(plot, box) {
  return {
    width: box.clientWidth,
    height: (box.matches(".tall") ? 320 : 168) - (plot.legend ? 28 : 0),
    cursor: { y: false, points: { size: 5 } },
    legend: { show: plot.legend, live: true, markers: { dash: (chart, index) => BORDERS[(index - 1) % BORDERS.length] } },
    scales: { y: { range: (chart, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, plot.high || 0) * 1.08 || 1] } },
    axes: axes(plot),
    series: [{ label: "at", value: (chart, seconds) => (seconds ? clock(seconds, 8) : "–") }, ...plot.series.map((name, index) => line(plot, index))],
  };
}

function draw(box) {
  const source = box.closest("[data-plot]").dataset.plot;
  const kept = plots.get(box);
  if (kept && kept.source === source && kept.width === box.clientWidth) return;
  const plot = JSON.parse(source);
  const same = kept && kept.names === plot.series.join() && kept.width === box.clientWidth;
  if (same) {
    kept.chart.setData(plot.data);
    kept.source = source;
    return;
  }
  if (kept) kept.chart.destroy();
  box.replaceChildren();
  const chart = new uPlot(options(plot, box), plot.data, box);
  plots.set(box, { chart, source, names: plot.series.join(), width: box.clientWidth });
}

function drawAll() {
  for (const [box, kept] of plots) {
    if (!box.isConnected) {
      kept.chart.destroy();
      plots.delete(box);
    }
  }
  all("[data-plot] .canvas").forEach(draw);
}

function redraw() {
  for (const kept of plots.values()) kept.source = "";
  for (const kept of plots.values()) kept.names = "";
  drawAll();
}

// The page as it is now comes over one stream; what is the same in both stays untouched.
const KEEP = {
  morphStyle: "innerHTML",
  ignoreActiveValue: true,
  callbacks: {
    beforeNodeMorphed: (old) => !(old.nodeType === 1 && (old.matches("[data-still]") || old.matches(".canvas"))),
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.matches("details")),
  },
};

function follow() {
  let source = null;
  let paused = sessionStorage.getItem(PAUSED) === "yes";
  const button = document.getElementById("pause");
  const say = (word, mark) => {
    button.querySelector(".state").textContent = word;
    button.querySelector(".state").className = `state ${mark}`;
    button.setAttribute("aria-pressed", String(paused));
  };
  const open = () => {
    if (source || paused || document.hidden) return;
    source = new EventSource(region.dataset.live);
    source.addEventListener("open", () => say("Live", "pass"));
    source.addEventListener("error", () => {
      // Closed for good: too many pages are open, or the token is asked for again.
      const over = source && source.readyState === EventSource.CLOSED;
      say(over ? "Not live" : "Reconnecting", over ? "fail" : "warn");
    });
    source.addEventListener("page", (event) => {
      if (String(document.getSelection())) return; // somebody is copying: the next one will do
      Idiomorph.morph(region, event.data, KEEP);
      drawAll();
    });
  };
  // A hidden tab holds no stream: browsers allow six to one host, and nobody looks.
  const close = () => {
    if (source) source.close();
    source = null;
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    sessionStorage.setItem(PAUSED, paused ? "yes" : "no");
    if (paused) close();
    say(paused ? "Paused" : "Live", paused ? "idle" : "pass");
    open();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  say(paused ? "Paused" : "Live", paused ? "idle" : "pass");
  open();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.ask && !window.confirm(form.dataset.ask)) {
    event.preventDefault();
    return;
  }
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  if (event.submitter) event.submitter.setAttribute("aria-disabled", "true");
});

// A chosen filter shows its answer at once; without scripts the button does.
all("form[data-filters]").forEach((form) => {
  form.addEventListener("change", (event) => {
    if (event.target.matches("select, [type=checkbox]")) form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    all("input, select", form).forEach((input) => {
      if (input.value === "") input.disabled = true; // no empty words in the address
    });
  });
});

drawAll();
window.addEventListener("resize", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
if (region && region.dataset.live) follow();
