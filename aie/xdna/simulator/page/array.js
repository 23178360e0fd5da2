"use strict";
// The array as a grid of tiles: a heat map of one figure, and the flows between tiles.

const SVG = "http://www.w3.org/2000/svg";
const CELL = 86, GAP = 14, LABEL = 34;

function svg(name, attributes, parent, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// Locks that differ only in numbers of their names are one cause.
const withoutNumbers = (name) => name.split("_").filter((p) => !/^\d+$/.test(p)).join("_");

// The figures that a heat map can show: name -> [value of a tile, its text].
function metrics(runs) {
  const percent = (x) => `${(100 * x).toFixed(x && x < 0.1 ? 1 : 0)} %`;
  const found = new Map([["busy", [(t) => t.busy, percent]]]);
  const causes = new Map();
  for (const run of runs) {
    for (const tile of run.tiles) {
      for (const [cause, share] of Object.entries(tile.stalls)) {
        const name = withoutNumbers(cause);
        causes.set(name, Math.max(causes.get(name) ?? 0, share));
      }
    }
  }
  const largest = [...causes].filter(([, share]) => share >= 0.005);
  largest.sort((a, b) => b[1] - a[1]);
  for (const [cause] of largest) {
    const share = (tile) => Object.entries(tile.stalls)
      .filter(([name]) => withoutNumbers(name) === cause)
      .reduce((sum, [, value]) => sum + value, 0);
    found.set(`waits: ${cause}`, [share, percent]);
  }
  found.set("bytes in", [(t) => t.in, bytesText]);
  found.set("bytes out", [(t) => t.out, bytesText]);
  if (runs.some((run) => run.macs)) {
    found.set("multiply-accumulates", [(t) => t.macs, numberText]);
  }
  return found;
}

// Draws a run's array into `parent`. Tiles are coloured from 0 to `most`. Without
// `hasFlows`, flows are shown for the tile that is pointed at.
function drawArray(run, [value, text], most, colour, hasFlows, parent) {
  const width = LABEL + run.columns * (CELL + GAP), height = run.rows * (CELL + GAP) + 22;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, parent);
  root.style.maxWidth = `${width * 1.25}px`;
  const x = (column) => LABEL + column * (CELL + GAP);
  const y = (row) => (run.rows - 1 - row) * (CELL + GAP);
  for (let row = 0; row < run.rows; ++row) {
    svg("text", { x: 0, y: y(row) + CELL / 2 + 4, class: "soft" }, root, `r${row}`);
  }
  for (let column = 0; column < run.columns; ++column) {
    const at = { x: x(column) + CELL / 2, y: height - 6, class: "soft",
      "text-anchor": "middle" };
    svg("text", at, root, `c${column}`);
  }
  const tiles = new Map(run.tiles.map((tile) => [`${tile.column},${tile.row}`, tile]));
  for (let column = 0; column < run.columns; ++column) {
    for (let row = 0; row < run.rows; ++row) {
      const tile = tiles.get(`${column},${row}`);
      const share = tile && most ? value(tile) / most : 0;
      svg("rect", { x: x(column), y: y(row), width: CELL, height: CELL, rx: 5,
        fill: tile ? colour : "none", "fill-opacity": tile ? 0.06 + 0.84 * share : 0,
        stroke: "var(--line)", "stroke-dasharray": tile ? "none" : "4 4" }, root);
      if (!tile) continue;
      const strong = share > 0.6 ? { style: "fill: var(--back)" } : {};
      svg("text", { x: x(column) + 6, y: y(row) + 16, ...strong }, root, tile.kind);
      svg("text", { x: x(column) + CELL / 2, y: y(row) + CELL / 2 + 12,
        "text-anchor": "middle", ...strong }, root, text(value(tile), tile));
    }
  }
  const lines = svg("g", { fill: "none", stroke: "var(--text)" }, root);
  lines.style.display = hasFlows ? "" : "none";
  drawFlows(run, x, y, lines);
  for (const tile of run.tiles) {
    const area = svg("rect", { x: x(tile.column), y: y(tile.row), width: CELL,
      height: CELL, fill: "transparent" }, root);
    tipFor(area, () => tileText(run, tile));
    const at = `${tile.column},${tile.row}`;
    const show = (on) => {
      lines.style.display = on || hasFlows ? "" : "none";
      for (const path of lines.querySelectorAll("path")) {
        const own = path.dataset.ends.includes(`|${at}|`);
        path.style.opacity = on ? (own ? 1 : hasFlows ? 0.05 : 0) : "";
        path.style.strokeWidth = on && own ? 2.2 : "";
      }
    };
    area.addEventListener("pointerenter", () => show(true));
    area.addEventListener("pointerleave", () => show(false));
  }
}

// Ports are numbers of channels, or names, such as "control".
const lane = (port) => typeof port === "number" ? port % 6 : 5;
const portText = (port, kind) => typeof port === "number" ? `${kind} ${port}` : port;

// A curve from each port to each one that it feeds, dashed for broadcasts and dotted for
// packets.
function drawFlows(run, x, y, parent) {
  for (const flow of run.flows) {
    const [column, row, channel] = flow.from, isBroadcast = flow.to.length > 1;
    for (const [toColumn, toRow, toChannel] of flow.to) {
      const up = toRow > row;
      const fromX = x(column) + 14 + 10 * lane(channel);
      const toX = x(toColumn) + 18 + 10 * lane(toChannel);
      const fromY = y(row) + (up ? 0 : CELL), toY = y(toRow) + (up ? CELL : 0);
      const bend = up ? -GAP : GAP;
      svg("path", {
        d: `M${fromX},${fromY} C${fromX},${fromY + 2 * bend} ${toX},${toY - 2 * bend} ` +
           `${toX},${toY}`,
        opacity: isBroadcast ? 0.5 : 0.8,
        "stroke-dasharray": flow.packets.length ? "1 2" : isBroadcast ? "3 2" : "none",
        "data-ends": `|${column},${row}|${toColumn},${toRow}|`,
      }, parent);
    }
  }
}

// What a tile holds, in a few characters.
function tileSummary(tile) {
  const bytes = tile.buffers.reduce((sum, [, size]) => sum + size, 0);
  if (bytes) return bytesText(bytes);
  return tile.in + tile.out ? bytesText(tile.in + tile.out) : "";
}

function tileText(run, tile) {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const causes = Object.entries(tile.stalls).sort((a, b) => b[1] - a[1]).slice(0, 4);
  const lines = [`${tile.kind} (${tile.column}, ${tile.row}): busy ${percent(tile.busy)}`];
  if (causes.length) {
    lines.push(`waits: ${causes.map(([n, s]) => `${n} ${percent(s)}`).join(", ")}`);
  }
  if (tile.macs) lines.push(`${numberText(tile.macs)} multiply-accumulates`);
  for (const [name, busy, bytes] of tile.channels) {
    if (bytes) lines.push(`${name}: ${bytesText(bytes)}, busy ${percent(busy)}`);
  }
  const [column, row] = [tile.column, tile.row];
  const to = run.flows.filter((f) => f.from[0] === column && f.from[1] === row);
  for (const flow of to) {
    const ends = flow.to.map(([c, r, port]) => `(${c}, ${r}) ${portText(port, "S2MM")}`);
    const packets = flow.packets.length ? `, packets ${flow.packets.join(", ")}` : "";
    lines.push(`${portText(flow.from[2], "MM2S")} to ${ends.join(", ")}${packets}`);
  }
  if (tile.buffers.length) {
    const total = tile.buffers.reduce((sum, [, bytes]) => sum + bytes, 0);
    const names = tile.buffers.slice(0, 8).map(([n, b]) => `${n} ${bytesText(b)}`);
    const more = tile.buffers.length > 8 ? ` and ${tile.buffers.length - 8} more` : "";
    lines.push(`buffers, ${bytesText(total)}: ${names.join(", ")}${more}`);
  }
  return lines.join("\n");
}
