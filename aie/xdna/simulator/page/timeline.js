"use strict";
// The timeline: a canvas for each run, all with the same range of time.

const ROW = 13, TOP = 74;
const KINDS = [
  ["work", "kernels, instructions, operations", "--work"],
  ["move", "moves data", "--move"],
  ["lock", "waits for a lock", "--lock"],
  ["stream", "waits for its stream", "--stream"],
  ["setup", "setup, launch, token", "--setup"],
  ["rest", "no task, finished", "--rest"],
];
const KIND_OF = new Map([
  ["moves", 1], ["lock", 2], ["stream", 3], ["setup", 4], ["launch", 4], ["token", 4],
  ["no task", 5], ["finished", 5],
]);

const view = { from: 0, to: 1, filter: "" };
const charts = [];

function kindOf(run, event, group) {
  if ((event[5] ?? -1) >= 0) return 2;
  const name = run.timeline.names[event[2]];
  const known = KIND_OF.get(name);
  if (known !== undefined) return known;
  const isJoinedWait = run.lockNames.has(name);
  return isJoinedWait && group !== "controller" ? 2 : 0;
}

function makeTimeline(runs, parent) {
  view.end = Math.max(...runs.map((run) => run.timeline.end));
  view.from = 0;
  view.to = view.end;
  for (const run of runs) {
    run.lockNames = new Set(run.tiles.flatMap((tile) => tile.locks));
    if (runs.length > 1) {
      const title = document.createElement("h3");
      title.textContent = run.title;
      parent.append(title);
    }
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-label", `Timeline of ${run.title}`);
    parent.append(canvas);
    charts.push({ run, canvas, rows: [] });
    watch(charts.at(-1));
  }
  const legend = document.getElementById("legend");
  for (const [, text, colour] of KINDS) {
    const item = document.createElement("span");
    item.innerHTML = `<i style="background:var(${colour})"></i>`;
    item.append(text);
    legend.append(item);
  }
  addEventListener("resize", drawTimelines);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTimelines);
  drawTimelines();
}

function drawTimelines() {
  for (const chart of charts) drawTimeline(chart);
}

function drawTimeline(chart) {
  const { run, canvas } = chart, box = canvas.parentElement.clientWidth;
  chart.left = Math.min(150, Math.max(96, box * 0.16));
  chart.rows = run.timeline.tracks.filter((t) => t.events.length &&
    t.name.toLowerCase().includes(view.filter));
  const height = TOP + chart.rows.length * ROW + 4, scale = devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = box * scale;
  canvas.height = height * scale;
  const paint = canvas.getContext("2d");
  paint.scale(scale, scale);
  paint.font = "11px system-ui, sans-serif";
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const colours = KINDS.map(([, , name]) => colour(name));
  const x = (us) => chart.left + (us - view.from) / (view.to - view.from) *
    (box - chart.left);
  drawAxis(paint, x, box, height, colour);
  drawRates(paint, run, x, chart.left, colour);
  chart.rows.forEach((track, index) => {
    const y = TOP + index * ROW;
    paint.fillStyle = colour("--text");
    const name = chart.left < 130 ? track.name.replace("memtile", "mem") : track.name;
    paint.fillText(name, 0, y + 10, chart.left - 6);
    for (const event of track.events) {
      const begin = event[0], end = begin + event[1];
      if (end < view.from || begin > view.to) continue;
      const left = Math.max(x(begin), chart.left);
      const width = Math.max(x(end) - left, 0.4);
      paint.fillStyle = colours[kindOf(run, event, track.group)];
      paint.fillRect(left, y + 1, width, ROW - 2);
    }
  });
}

function drawAxis(paint, x, box, height, colour) {
  const span = view.to - view.from, rough = span / Math.max(2, box / 160);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  paint.fillStyle = colour("--soft");
  paint.strokeStyle = colour("--line");
  for (let us = Math.ceil(view.from / step) * step; us <= view.to; us += step) {
    paint.beginPath();
    paint.moveTo(x(us), 14);
    paint.lineTo(x(us), height);
    paint.stroke();
    const text = `${us.toFixed(digits)} us`;
    paint.fillText(text, Math.min(x(us), box - paint.measureText(text).width), 10);
  }
}

// DDR's rates above the tracks: reads filled, writes as a line.
function drawRates(paint, run, x, left, colour) {
  const all = Object.values(run.timeline.ddr).flat().map(([, rate]) => rate);
  if (!all.length) return;
  const most = Math.max(...all, 1e-9), bottom = TOP - 6, high = TOP - 26;
  const y = (rate) => bottom - rate / most * high;
  paint.save();
  paint.beginPath();
  paint.rect(left, 0, 1e5, TOP);
  paint.clip();
  for (const [name, points] of Object.entries(run.timeline.ddr)) {
    const isRead = name.endsWith("read"), width = points[1][0] - points[0][0];
    paint.beginPath();
    paint.moveTo(x(0), bottom);
    for (const [us, rate] of points) {
      paint.lineTo(x(us), y(rate));
      paint.lineTo(x(us + width), y(rate));
    }
    paint.lineTo(x(run.timeline.end), bottom);
    paint.globalAlpha = isRead ? 0.35 : 1;
    paint.fillStyle = paint.strokeStyle = colour(isRead ? "--move" : "--second");
    if (isRead) paint.fill(); else paint.stroke();
  }
  paint.restore();
  paint.fillStyle = colour("--soft");
  const wide = left > 130;
  paint.fillText(`DDR, to ${most.toFixed(1)} GB/s`, 0, bottom - high + 8, left - 6);
  paint.fillStyle = colour("--move");
  paint.fillText("read", 0, bottom - 2);
  paint.fillStyle = colour("--second");
  paint.fillText("write", wide ? 40 : 32, bottom - 2);
}

function eventAt(chart, px, py) {
  const track = chart.rows[Math.floor((py - TOP) / ROW)];
  const box = chart.canvas.clientWidth;
  if (!track || px < chart.left) return null;
  const us = view.from + (px - chart.left) / (box - chart.left) * (view.to - view.from);
  const event = track.events.find((e) => e[0] <= us && us <= e[0] + e[1]);
  return event ? [track, event] : null;
}

function eventText(run, [track, event]) {
  const [begin, duration, name, bytes = 0, bd = -1, lock = -1, count = 1] = event;
  const cycles = Math.round(duration * run.clock_hz / 1e6);
  const lines = [`${track.name}: ${run.timeline.names[name]}`,
    `${begin.toFixed(3)} us, for ${duration.toFixed(3)} us, ${numberText(cycles)} cycles`];
  if (count > 1) lines.push(`${count} events in the trace`);
  if (bytes) lines.push(`${bytesText(bytes)}, ${(bytes / duration / 1e3).toFixed(2)} GB/s`);
  if (bd >= 0) lines.push(`BD ${bd}`);
  if (lock >= 0) lines.push(`for lock ${run.timeline.names[lock]}`);
  return lines.join("\n");
}

function watch(chart) {
  const { canvas, run } = chart;
  let held = null;
  const zoom = (px, factor) => {
    const box = canvas.clientWidth - chart.left, span = view.to - view.from;
    const share = Math.min(Math.max((px - chart.left) / box, 0), 1);
    const wanted = Math.min(Math.max(span * factor, view.end * 1e-5), view.end);
    show(view.from + share * (span - wanted), wanted);
  };
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;  // a plain wheel scrolls the page
    event.preventDefault();
    zoom(event.offsetX, event.deltaY > 0 ? 1.25 : 0.8);
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(event.offsetX, 0.4));
  canvas.addEventListener("pointerdown", (event) => {
    held = event.offsetX;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (held !== null) {
      const span = view.to - view.from;
      const moved = (held - event.offsetX) / (canvas.clientWidth - chart.left) * span;
      held = event.offsetX;
      if (moved) show(view.from + moved, span);
      return;
    }
    const found = eventAt(chart, event.offsetX, event.offsetY);
    showTip(found && eventText(run, found), event);
  });
  canvas.addEventListener("pointerleave", () => showTip(null));
}

function show(from, span) {
  view.from = Math.min(Math.max(from, 0), view.end - span);
  view.to = view.from + span;
  drawTimelines();
}
