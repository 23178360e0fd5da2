"use strict";
// The page: tables, bars, roofline, and what joins the parts.

const runs = JSON.parse(document.getElementById("runs").textContent);
const COLOURS = ["var(--first)", "var(--second)"];
const byId = (id) => document.getElementById(id);

function numberText(value) {
  return Math.round(value).toLocaleString("en-US");
}

function bytesText(value) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (value >= 1000 && unit < 3) {
    value /= 1000;
    ++unit;
  }
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}

function timeText(seconds) {
  return seconds < 1e-2 ? `${(seconds * 1e6).toFixed(1)} us`
    : `${(seconds * 1e3).toFixed(2)} ms`;
}

function element(name, parent, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  parent.append(node);
  return node;
}

function showTip(text, event) {
  const tip = byId("tip");
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const { offsetWidth: width, offsetHeight: height } = tip;
  tip.style.left = `${Math.min(event.clientX + 12, innerWidth - width - 6)}px`;
  const below = event.clientY + 14;
  const top = below + height > innerHeight ? event.clientY - height - 8 : below;
  tip.style.top = `${Math.max(top, 4)}px`;
}

function tipFor(node, text) {
  node.addEventListener("pointermove", (event) => showTip(text(), event));
  node.addEventListener("pointerleave", () => showTip(null));
}

function makeHeader() {
  const header = byId("header");
  runs.forEach((run, index) => {
    const title = element("h1", header, "");
    if (runs.length > 1) {
      element("span", title, "", "mark").style.background = COLOURS[index];
      title.append(" ");
    }
    title.append(run.title);
    element("p", header, run.bound, "bound");
  });
}

// Name, text of a run, and the number to compare, where less is better (-1), more is
// (1), or neither (0).
const FIGURES = [
  ["device", (r) => `${r.device} at ${numberText(r.clock_hz / 1e6)} MHz`],
  ["arithmetic", (r) => r.arithmetic],
  ["time", (r) => timeText(r.seconds), (r) => r.seconds, -1],
  ["  host submits", (r) => timeText(r.submission_seconds), (r) => r.submission_seconds, -1],
  ["  on the device", (r) => timeText(r.device_seconds), (r) => r.device_seconds, -1],
  ["cycles", (r) => numberText(r.cycles), (r) => r.cycles, -1],
  ["runs", (r) => numberText(r.runs), (r) => r.runs, 0],
  ["GFLOP/s", (r) => (2 * r.macs / r.seconds / 1e9).toFixed(1), (r) => r.macs / r.seconds, 1],
  ["kernel calls", (r) => numberText(r.kernel_calls), (r) => r.kernel_calls, 0],
  ["instruction words", (r) => numberText(r.words), (r) => r.words, -1],
  ["DDR read", (r) => bytesText(r.bytes.ddr_read ?? 0), (r) => r.bytes.ddr_read, -1],
  ["DDR written", (r) => bytesText(r.bytes.ddr_write ?? 0), (r) => r.bytes.ddr_write, -1],
  ["streams, times hops", (r) => bytesText(r.bytes.stream ?? 0), (r) => r.bytes.stream, -1],
];

function makeFigures() {
  const table = element("table", byId("figures"));
  if (runs.length > 1) {
    const row = element("tr", table);
    for (const text of ["", "first", "second", "second / first"]) element("th", row, text);
  }
  const notes = [...new Set(runs.flatMap((run) => Object.keys(run.notes)))];
  const rows = [...FIGURES, ...notes.map((name) => [name, (run) => run.notes[name] ?? ""])];
  for (const [name, text, value, better] of rows) {
    if (name === "GFLOP/s" && !runs.some((run) => run.macs)) continue;
    const row = element("tr", table);
    element("td", row, name.trim()).style.paddingLeft = name.startsWith(" ") ? "1rem" : "";
    for (const run of runs) element("td", row, text(run));
    if (runs.length < 2) continue;
    const ratio = value ? value(runs[1]) / value(runs[0]) : NaN;
    const cell = element("td", row, Number.isFinite(ratio) ? ratio.toFixed(3) : "");
    const gain = better * Math.sign(Math.round((ratio - 1) * 1e3));
    if (gain) cell.className = gain > 0 ? "better" : "worse";
  }
}

function makeShares() {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.shares)))];
  const most = (name) => Math.max(...runs.map((run) => run.shares[name] ?? 0));
  names.sort((a, b) => most(b) - most(a));
  for (const name of names) {
    const bar = element("div", byId("shares"), undefined, "bar");
    element("span", bar, name);
    const tracks = element("div", bar), numbers = element("b", bar);
    runs.forEach((run, index) => {
      const share = run.shares[name] ?? 0;
      const line = element("i", element("div", tracks, undefined, "track"));
      line.style.width = `${100 * share}%`;
      line.style.background = COLOURS[index];
      element("div", numbers, `${(100 * share).toFixed(0)} %`);
    });
  }
}

function makeOperands() {
  const table = element("table", byId("operands"));
  const head = element("tr", table);
  for (const text of ["buffer", "read", "written", "share", "mean run"]) {
    element("th", head, text);
  }
  runs.forEach((run, index) => {
    const total = run.arguments.reduce((sum, one) => sum + one.read + one.written, 0);
    for (const one of run.arguments) {
      const row = element("tr", table);
      const name = one.name ? `${one.index}: ${one.name}` : `argument ${one.index}`;
      const cell = element("td", row, name);
      if (runs.length > 1) cell.style.borderLeft = `4px solid ${COLOURS[index]}`;
      if (runs.length > 1) cell.style.paddingLeft = ".4rem";
      element("td", row, bytesText(one.read));
      element("td", row, bytesText(one.written));
      const share = (one.read + one.written) / (total || 1);
      element("td", row, `${(100 * share).toFixed(0)} %`);
      element("td", row, bytesText(one.run_bytes));
    }
  });
  element("p", byId("operands"), "A mean run is of consecutive bytes: those below some " +
    "hundred bytes keep DDR from its rate.", "hint");
}

// Both axes are logarithmic: FLOP for each byte of DDR, and FLOP/s.
function makeRoofline() {
  const shown = runs.map((run, index) => ({ run, index, roof: run.roofline }))
    .filter(({ roof }) => roof);
  const parent = byId("roofline");
  if (!shown.length) {
    element("p", parent, "No roofline: the run counted no multiply-accumulates (a " +
      "Kernel has them in macs) or moved nothing.", "hint");
    return;
  }
  const W = 560, H = 300, L = 80, B = 36, R = 14, T = 14;
  const ridge = (roof) => roof.peak_flops / roof.ddr_bytes_per_second;
  const xs = shown.flatMap(({ roof }) => [roof.intensity / 4, roof.intensity * 4,
    ridge(roof) / 8, ridge(roof) * 8]);
  const ys = shown.flatMap(({ roof }) => [roof.flops / 4, roof.peak_flops * 2]);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)].map(Math.log10);
  const [y0, y1] = [Math.min(...ys), Math.max(...ys)].map(Math.log10);
  const x = (v) => L + (Math.log10(v) - x0) / (x1 - x0) * (W - L - R);
  const y = (v) => H - B - (Math.log10(v) - y0) / (y1 - y0) * (H - B - T);
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" }, parent);
  for (let p = Math.ceil(x0); p <= x1; ++p) {
    svg("line", { x1: x(10 ** p), x2: x(10 ** p), y1: T, y2: H - B,
      stroke: "var(--line)" }, root);
    svg("text", { x: x(10 ** p), y: H - B + 16, "text-anchor": "middle", class: "soft" },
      root, String(10 ** p));
  }
  const factors = y1 - y0 > 2.5 ? [1] : [1, 2, 5];
  for (let p = Math.floor(y0); p <= y1; ++p) {
    for (const rate of factors.map((f) => f * 10 ** p)) {
      if (rate < 10 ** y0 || rate > 10 ** y1) continue;
      svg("line", { x1: L, x2: W - R, y1: y(rate), y2: y(rate),
        stroke: "var(--line)" }, root);
      const text = rate >= 1e12 ? `${rate / 1e12} TFLOP/s`
        : `${Number((rate / 1e9).toPrecision(1))} GFLOP/s`;
      svg("text", { x: L - 6, y: y(rate) + 4, "text-anchor": "end", class: "soft",
        style: "font-size: 10px" }, root, text);
    }
  }
  svg("text", { x: (L + W) / 2, y: H - 4, "text-anchor": "middle", class: "soft" }, root,
    "FLOP for each byte of DDR");
  for (const { run, index, roof } of shown) {
    const low = 10 ** x0, high = 10 ** x1, at = ridge(roof);
    const bottom = Math.max(low, 10 ** y0 / roof.ddr_bytes_per_second);
    const d = `M${x(bottom)},${y(bottom * roof.ddr_bytes_per_second)} ` +
      `L${x(at)},${y(roof.peak_flops)} L${x(high)},${y(roof.peak_flops)}`;
    svg("path", { d, fill: "none", stroke: COLOURS[index], "stroke-width": 2 }, root);
    if (index === 0) {
      const middle = Math.sqrt(bottom * at), slope = middle * roof.ddr_bytes_per_second;
      svg("text", { x: x(middle) - 8, y: y(slope) - 8, "text-anchor": "end",
        class: "soft" }, root, `DDR ${(roof.ddr_bytes_per_second / 1e9).toFixed(1)} GB/s`);
      svg("text", { x: W - R, y: y(roof.peak_flops) - 7, "text-anchor": "end",
        class: "soft" }, root, `${roof.cores} cores, ` +
        `${(roof.peak_flops / 1e12).toPrecision(3)} TFLOP/s in bfloat16`);
    }
    const dot = svg("circle", { cx: x(roof.intensity), cy: y(roof.flops), r: 6,
      fill: COLOURS[index] }, root);
    const limit = Math.min(roof.peak_flops, roof.intensity * roof.ddr_bytes_per_second);
    const share = `${(100 * roof.flops / limit).toFixed(0)} % of its roof`;
    svg("text", { x: Math.min(x(roof.intensity) + 10, W - 100), y: y(roof.flops) + 16 },
      root, share);
    tipFor(dot, () => `${run.title}\n${(roof.flops / 1e9).toFixed(1)} GFLOP/s on the ` +
      `device, ${share}\n${roof.intensity.toFixed(1)} FLOP for each byte\n` +
      `${roof.cores} cores: ${(roof.peak_flops / 1e12).toFixed(2)} TFLOP/s, DDR: ` +
      `${(roof.ddr_bytes_per_second / 1e9).toFixed(1)} GB/s`);
  }
}

function makeArrays() {
  const choices = metrics(runs), select = byId("metric");
  for (const name of choices.keys()) element("option", select, name);
  const draw = () => {
    const metric = choices.get(select.value);
    const shares = select.value === "busy" || select.value.startsWith("waits");
    const values = runs.flatMap((run) => run.tiles.map(metric[0]));
    const most = shares ? 1 : Math.max(...values, 0);
    byId("array").replaceChildren();
    runs.forEach((run, index) => {
      const box = element("div", byId("array"));
      element("p", box, runs.length > 1 ? run.title : select.value, "hint");
      drawArray(run, metric, most, COLOURS[index], false, box);
    });
    runs.forEach((run, index) => {
      const box = element("div", byId("array"));
      element("p", box, "flows; broadcasts dashed, packets dotted", "hint");
      const kinds = [() => 0, (_, tile) => tileSummary(tile)];
      drawArray(run, kinds, 1, COLOURS[index], true, box);
    });
  };
  select.addEventListener("change", draw);
  draw();
}

makeHeader();
makeFigures();
makeShares();
makeArrays();
makeOperands();
makeRoofline();
makeTimeline(runs, byId("timeline"));
byId("filter").addEventListener("input", (event) => {
  view.filter = event.target.value.toLowerCase();
  drawTimelines();
});
byId("whole").addEventListener("click", () => show(0, view.end));
