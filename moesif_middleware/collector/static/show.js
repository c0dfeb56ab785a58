// How times, durations, sizes, addresses and masked values are written.

import { el } from "./dom.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  fractionalSecondDigits: 3, hourCycle: "h23", timeZoneName: "short",
});
const COUNT = new Intl.NumberFormat();

export function clock(ms) {
  const moment = new Date(ms);
  const time = `${CLOCK.format(moment)}.${String(((ms % 1000) + 1000) % 1000).padStart(3, "0")}`;
  return moment.toDateString() === new Date().toDateString() ? time : `${DAY.format(moment)} ${CLOCK.format(moment)}`;
}

/** Return date, time and zone as the reader's clock has them. */
export function moment(iso) {
  const parsed = Date.parse(iso);
  return Number.isNaN(parsed) ? iso : FULL.format(parsed);
}

export function count(number) {
  return COUNT.format(number);
}

export function percent(part, whole) {
  if (!whole) return "–";
  return `${part === 0 || part === whole ? (part / whole) * 100 : ((part / whole) * 100).toFixed(1)} %`;
}

/** Return the beginning of a time span, as exact as its length asks; `short` is for an axis. */
export function span(ms, step, short = false) {
  const moment = new Date(ms);
  const time = CLOCK.format(moment).slice(0, step < 60000 ? 8 : 5);
  if (step >= 86400000) return DAY.format(moment);
  return short && step < 1800000 ? time : `${DAY.format(moment)} ${time}`;
}

export function took(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 1000) return `${ms} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(2)} s` : `${(ms / 60000).toFixed(1)} min`;
}

export function bytes(size) {
  if (size < 1024) return `${size} B`;
  return size < 1048576 ? `${(size / 1024).toFixed(1)} KB` : `${(size / 1048576).toFixed(1)} MB`;
}

/** Return the path and query of an address; what is no address stays as it is. */
export function pathOf(uri) {
  const found = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)(\?[^#]*)?/i.exec(uri ?? "");
  return found ? { path: found[1] || "/", query: found[2] ?? "" } : { path: uri ?? "", query: "" };
}

export function statusKind(status) {
  return status ? `s${Math.floor(status / 100)}` : "s0";
}

/** Return the nodes of a text in which the marks of masked values stand out. */
export function marked(value) {
  return String(value).split(/(\[REDACTED:[^\]\s]{1,60}\])/)
    .map((part, index) => (index % 2 ? el("span", { class: "redacted" }, part) : part)).filter(Boolean);
}
