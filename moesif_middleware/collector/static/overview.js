// The overview: what the events that pass the filter come to, over time and by whom.

import { get, Latest } from "./api.js";
import { bars, figures, legend, lines } from "./charts.js";
import { el } from "./dom.js";
import { count, percent, took } from "./show.js";

const RANGES = { "15m": 9e5, "1h": 36e5, "6h": 216e5, "24h": 864e5, "7d": 6048e5, "30d": 2592e6 };
const STATUSES = [
  { key: "1xx", label: "1xx", kind: "k1" }, { key: "2xx", label: "2xx", kind: "k2" }, { key: "3xx", label: "3xx", kind: "k3" },
  { key: "4xx", label: "4xx", kind: "k4" }, { key: "5xx", label: "5xx", kind: "k5" }, { key: "other", label: "other", kind: "k1" },
  { key: "none", label: "no response", kind: "k0" },
];
const LATENCY = [{ key: "p50", label: "p50", kind: "l1" }, { key: "p95", label: "p95", kind: "l2" }];
const REFRESH_MS = 15000;

export class Overview {
  /** `on` has filter(name, value) and between(first, last), which show the events behind a figure. */
  constructor(root, on) {
    Object.assign(this, { root, on, range: "1h", by: "status", latest: new Latest() });
    new ResizeObserver(() => { if (this.found && !root.hidden && root.clientWidth !== this.width) this.draw(); }).observe(root);
  }

  show(query, range) {
    this.query = query;
    if (range in RANGES) this.range = range;
    this.load();
  }

  hide() {
    this.latest.stop();
    clearTimeout(this.timer);
  }

  async load() {
    const signal = this.latest.start();
    clearTimeout(this.timer);
    const to = Date.now();
    this.root.setAttribute("aria-busy", "true");
    if (!this.found) this.root.replaceChildren(this.head(), tiles(null));
    try {
      const found = await get("summary", { ...this.query, from: to - RANGES[this.range], to }, signal);
      if (signal.aborted) return;
      this.found = found;
      this.draw();
      // A store that takes long is not asked again by itself.
      if (Date.now() - to < 1500) this.timer = setTimeout(() => (document.hidden ? null : this.load()), REFRESH_MS);
    } catch (error) {
      if (signal.aborted) return;
      this.found = null;
      this.root.replaceChildren(this.head(), el("p", { class: "notice error", role: "alert" }, error.message));
    }
    this.root.removeAttribute("aria-busy");
  }

  draw() {
    const found = this.found;
    this.width = this.root.clientWidth;
    const focused = document.activeElement?.dataset?.keep;
    const open = new Map([...this.root.querySelectorAll("details[open]")].map((node) => [node.dataset.label, node.querySelector(".scroll").scrollTop]));
    this.root.replaceChildren(
      this.head(),
      tiles(found),
      found.total ? this.panels(found) : el("p", { class: "notice" }, "No event in this range matches."));
    for (const node of this.root.querySelectorAll("details")) {
      if (!open.has(node.dataset.label)) continue;
      node.open = true;
      node.querySelector(".scroll").scrollTop = open.get(node.dataset.label);
    }
    if (focused) this.root.querySelector(`[data-keep="${focused}"]`)?.focus();
  }

  head() {
    return el("div", { class: "overview-head" }, el("h2", {}, "Overview"), this.ranges());
  }

  ranges() {
    return el("div", { class: "segments", role: "group", "aria-label": "Range" }, Object.keys(RANGES).map((name) => el("button",
      { type: "button", "data-keep": name, "aria-pressed": String(name === this.range), onclick: () => this.choose(name) }, name)));
  }

  choose(range) {
    this.range = range;
    this.on.range(range);
    for (const button of this.root.querySelector(".segments").children) button.setAttribute("aria-pressed", String(button.textContent === range));
    this.load();
  }

  panels(found) {
    const width = Math.max(320, Math.min(this.width - 72, 1500));
    const half = this.width > 1100 ? Math.floor((width - 36) / 2) : width;
    const series = this.by === "status" ? STATUSES : routeSeries(found);
    const used = series.filter(({ key }) => this.data(found).some((bucket) => bucket.parts[key]));
    const pick = (at) => this.on.between(at, at + found.step - 1);
    const write = (value) => took(Math.round(value));
    return el("div", { class: "panels" },
      panel("Calls over time", [this.switch(), legend(used)],
        bars({ label: "Calls over time", buckets: this.data(found), series: used, step: found.step, width: half, onPick: pick }),
        figures({ label: "Calls over time", series: used, rows: this.data(found), step: found.step, write: count, onPick: pick })),
      panel("Latency over time", [legend(LATENCY)],
        lines({ label: "Latency over time", points: found.latency_over_time, series: LATENCY, step: found.step, width: half, write, onPick: pick }),
        figures({ label: "Latency over time", series: LATENCY, rows: found.latency_over_time, step: found.step, write, onPick: pick })),
      panel("Routes", [], this.table(found.routes, "route", "Route", true)),
      panel("Users", [], this.table(found.users, "user", "User")),
      panel("Companies", [], this.table(found.companies, "company", "Company")));
  }

  data(found) {
    return this.by === "status" ? found.by_status : withOthers(found);
  }

  switch() {
    return el("div", { class: "tabs", role: "group", "aria-label": "Calls by" }, ["status", "route"].map((name) => el("button",
      { type: "button", class: "tab", "data-keep": `by-${name}`, "aria-pressed": String(name === this.by), onclick: () => { this.by = name; this.draw(); } }, `by ${name}`)));
  }

  table(rows, filter, title, latency = false) {
    if (!rows.length) return el("p", { class: "none" }, `No ${title.toLowerCase()} in these events.`);
    const heads = [title, "Calls", "Errors", ...(latency ? ["p50", "p95", "p99"] : [])];
    return el("table", { class: "top-table" },
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {},
        el("th", { scope: "row" }, el("button", { type: "button", class: "link", title: row.key, onclick: () => this.on.filter(filter, row.key) }, row.key)),
        el("td", {}, count(row.count), el("meter", { min: "0", max: "1", value: row.count / rows[0].count, "aria-hidden": "true" })),
        el("td", { class: row.errors ? "bad" : "dim" }, percent(row.errors, row.count)),
        latency && ["p50", "p95", "p99"].map((name) => el("td", {}, took(rounded(row.latency[name]))))))));
  }
}

/** The figures over the charts; without an answer their places, so that nothing jumps when it comes. */
function tiles(found) {
  const shown = [
    ["Calls", found ? count(found.total) : "…"],
    ["Errors (4xx, 5xx)", found ? percent(found.errors, found.total) : "…"],
    ...["p50", "p75", "p90", "p95", "p99"].map((name) => [name, found ? took(rounded(found.latency[name])) || "–" : "…"]),
  ];
  return el("dl", { class: "tiles" }, shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function rounded(value) {
  return value === null || value === undefined ? null : Math.round(value);
}

function panel(title, extras, ...content) {
  return el("section", { class: "panel", "aria-label": title }, el("header", {}, el("h3", {}, title), extras), content);
}

function routeSeries(found) {
  const top = found.routes.slice(0, 5).map(({ key }, index) => ({ key, label: key, kind: `r${index + 1}` }));
  return [...top, { key: OTHERS, label: "others", kind: "k0" }];
}

// No route begins with a space.
const OTHERS = " others";

function withOthers(found) {
  const kept = new Set(routeSeries(found).map(({ key }) => key));
  return found.by_route.map((bucket) => {
    const parts = Object.fromEntries(Object.entries(bucket.parts).filter(([key]) => kept.has(key)));
    const rest = bucket.count - Object.values(parts).reduce((sum, number) => sum + number, 0);
    return { ...bucket, parts: rest > 0 ? { ...parts, [OTHERS]: rest } : parts };
  });
}
