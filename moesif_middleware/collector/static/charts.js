// Charts over time as SVG: stacked bars and lines, with axes and a table of the same figures.

import { el, svg } from "./dom.js";
import { count, span } from "./show.js";

const HEIGHT = 190;
const MARGIN = { left: 52, right: 12, top: 10, bottom: 24 };
const TICKS = [1, 2, 2.5, 5, 10];

/** Stacked bars. `series` is [{key, label, kind}]; a bucket is {at, parts: {key: number}}. */
export function bars({ label, buckets, series, step, width, onPick }) {
  const top = nice(Math.max(1, ...buckets.map((bucket) => total(bucket, series))));
  const frame = axes({ label, buckets, step, width, top, write: count });
  const slot = frame.inner / buckets.length;
  buckets.forEach((bucket, index) => {
    let y = 0;
    const parts = series.filter(({ key }) => bucket.parts[key]).map(({ key, label: name, kind }) => {
      const height = (bucket.parts[key] / top) * frame.height;
      y += height;
      return svg("rect", { class: kind, x: 0, y: frame.bottom - y, width: Math.max(1, slot - 1.5), height }, svg("title", {}, `${name}: ${count(bucket.parts[key])}`));
    });
    const words = `${span(bucket.at, step)}: ${count(total(bucket, series))}`;
    frame.root.append(svg("g", { class: "bar", transform: `translate(${MARGIN.left + index * slot} 0)`, onclick: () => onPick(bucket.at) },
      svg("rect", { class: "hit", x: 0, y: MARGIN.top, width: slot, height: frame.height }, svg("title", {}, words)), parts));
  });
  return frame.root;
}

/** Lines; a point is {at, [key]: number or null}, and a null is a gap. */
export function lines({ label, points, series, step, width, write, onPick }) {
  const top = nice(Math.max(1, ...points.flatMap((point) => series.map(({ key }) => point[key] ?? 0))));
  const frame = axes({ label, buckets: points, step, width, top, write });
  const slot = frame.inner / points.length;
  const x = (index) => MARGIN.left + (index + 0.5) * slot;
  const y = (value) => frame.bottom - (value / top) * frame.height;
  for (const { key, kind } of series) {
    let path = "";
    points.forEach((point, index) => {
      if (point[key] === null || point[key] === undefined) return;
      const joined = index > 0 && points[index - 1][key] !== null;
      path += `${joined ? "L" : "M"}${x(index).toFixed(1)} ${y(point[key]).toFixed(1)}`;
    });
    frame.root.append(svg("path", { class: `line ${kind}`, d: path }));
  }
  points.forEach((point, index) => {
    const found = series.filter(({ key }) => point[key] !== null);
    if (!found.length) return;
    const words = found.map(({ key, label: name }) => `${name} ${write(point[key])}`).join(", ");
    frame.root.append(svg("g", { class: "bar", onclick: () => onPick(point.at) },
      found.map(({ key, kind }) => svg("circle", { class: `dot ${kind}`, cx: x(index), cy: y(point[key]), r: 2.2 })),
      svg("rect", { class: "hit", x: x(index) - slot / 2, y: MARGIN.top, width: slot, height: frame.height },
        svg("title", {}, `${span(point.at, step)}: ${words}`))));
  });
  return frame.root;
}

export function legend(series) {
  return el("ul", { class: "legend" }, series.map(({ label, kind }) => el("li", {}, el("span", { class: `swatch ${kind}` }), label)));
}

/** The same figures as a table, for those who cannot see the chart or have no mouse; `onPick` is that of the bars. */
export function figures({ label, series, rows, step, write, onPick }) {
  const time = (at) => (onPick ? el("button", { type: "button", class: "link", "data-keep": `${label} ${at}`, onclick: () => onPick(at) }, span(at, step)) : span(at, step));
  return el("details", { class: "closed", "data-label": label }, el("summary", {}, "As a table"),
    el("div", { class: "scroll", tabindex: "0" }, el("table", { class: "figures" }, el("caption", { class: "visually-hidden" }, label),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Time"), series.map((one) => el("th", { scope: "col" }, one.label)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row" }, time(row.at)),
        series.map(({ key }) => el("td", {}, write((row.parts ?? row)[key] ?? 0)))))))));
}

function total(bucket, series) {
  return series.reduce((sum, { key }) => sum + (bucket.parts[key] ?? 0), 0);
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * TICKS.find((tick) => tick * power >= value);
}

function axes({ label, buckets, step, width, top, write }) {
  const inner = width - MARGIN.left - MARGIN.right;
  const height = HEIGHT - MARGIN.top - MARGIN.bottom;
  const bottom = HEIGHT - MARGIN.bottom;
  const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label });
  for (const share of [0, 0.5, 1]) {
    const y = bottom - share * height;
    root.append(svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }),
      svg("text", { class: "tick", x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, write(top * share)));
  }
  const every = Math.ceil(buckets.length / Math.max(2, Math.floor(inner / 110)));
  buckets.forEach((bucket, index) => {
    if (index % every) return;
    root.append(svg("text", { class: "tick", x: MARGIN.left + (index * inner) / buckets.length, y: HEIGHT - 6 }, span(bucket.at, step, true)));
  });
  return { root, inner, height, bottom };
}
