// The reading API of this collector, and its live stream with reconnection.

import { parse } from "./json.js";

const BASE = "/_page/api/";
const FIRST_DELAY = 1000;
const LONGEST_DELAY = 15000;

/** The server refused; `message` is its sentence for people. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function address(path, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
  return BASE + path + (text ? `?${text}` : "");
}

export async function get(path, query, signal) {
  return answered(await fetch(address(path, query), { signal, headers: { Accept: "application/json" } }));
}

export async function send(method, path, query, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return answered(await fetch(address(path, query), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }));
}

async function answered(response) {
  const text = await response.text();
  let found = null;
  try {
    found = text ? parse(text) : null;
  } catch {
    found = null;
  }
  if (response.ok) return found;
  throw new Refused(response.status, found?.error ?? `The collector answered ${response.status}.`);
}

/** The newest of several requests: starting one ends those before it, so that the collector stops working on them. */
export class Latest {
  start() {
    this.controller?.abort();
    this.controller = new AbortController();
    return this.controller.signal;
  }

  stop() {
    this.controller?.abort();
  }
}

export const event = (app, id, signal) => get(`events/${encodeURIComponent(id)}`, { app }, signal);

/** Return the address of the archive of what passes a filter. */
export function archive(query) {
  return address("export.har", query);
}

/** Follows the live stream; after a break it goes on behind the last event it saw. */
export class Live {
  constructor({ onRows, onState }) {
    this.onRows = onRows;
    this.onState = onState;
    this.delay = FIRST_DELAY;
  }

  follow(query, after) {
    this.stop();
    this.query = query;
    this.after = after;
    this.onState("connecting");
    this.connect();
  }

  stop() {
    clearTimeout(this.timer);
    clearInterval(this.countdown);
    this.source?.close();
    this.source = null;
  }

  /** Go on where it was stopped. */
  resume() {
    if (!this.source && this.query) this.follow(this.query, this.after);
  }

  connect() {
    const source = new EventSource(address("live", { ...this.query, after: this.after }));
    this.source = source;
    source.addEventListener("open", () => {
      this.delay = FIRST_DELAY;
      this.onState("live");
    });
    source.addEventListener("rows", (message) => {
      const found = parse(message.data);
      this.after = found.newest;
      this.onRows(found);
    });
    source.addEventListener("error", () => {
      if (this.source === source) this.again();
    });
  }

  again() {
    this.stop();
    const due = Date.now() + this.delay;
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
    const tick = () => this.onState("reconnecting", Math.max(1, Math.ceil((due - Date.now()) / 1000)));
    tick();
    this.countdown = setInterval(tick, 1000);
    this.timer = setTimeout(() => { clearInterval(this.countdown); this.connect(); }, due - Date.now());
  }
}
