// The events' view: the live list on the left, one event beside it.

import { event as readEvent, get, Latest, Live, send } from "./api.js";
import { detail } from "./detail.js";
import { byId, el, tabs } from "./dom.js";
import { failed, noMatch, waiting } from "./empty.js";
import { count } from "./show.js";
import { EventTable } from "./table.js";

const PAGE = 200;
const ANNOUNCE_MS = 4000;
const RETRY_MS = 5000;
const HIDDEN_MS = 10000;
const STATES = { connecting: "Connecting", live: "Live", off: "Not reachable", idle: "Not listening" };

export class Events {
  /** `on` has address(push), apps(found), filter(name, value) and clear(). */
  constructor(state, on) {
    Object.assign(this, { state, on, paused: false, missed: 0, unsaid: 0, loadingOlder: false, list: new Latest(), opening: new Latest() });
    this.table = new EventTable({ viewport: byId("viewport"), body: byId("rows"), onOpen: (row) => this.open(row.id), onEnd: () => this.older() });
    this.live = new Live({ onRows: (found) => this.arrived(found), onState: (name, seconds) => this.connection(name, seconds) });
    byId("viewport").addEventListener("scroll", () => this.showCount(), { passive: true });
    setInterval(() => this.announce(), ANNOUNCE_MS);
    this.sleepUnseen();
  }

  // A browser opens six connections to one host: a page that nobody sees must not keep one.
  sleepUnseen() {
    let hidden;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(hidden);
      if (document.hidden) hidden = setTimeout(() => this.live.stop(), HIDDEN_MS);
      else this.live.resume();
    });
    addEventListener("pagehide", () => this.live.stop());
    addEventListener("pageshow", (event) => { if (event.persisted) this.live.resume(); });
  }

  get query() { return { q: this.state.q, app: this.state.app }; }

  // --- the list

  async load() {
    const signal = this.list.start();
    this.live.stop();
    clearTimeout(this.retry);
    byId("events").setAttribute("aria-busy", "true");
    try {
      const found = await get("events", { ...this.query, limit: PAGE }, signal);
      if (signal.aborted) return;
      byId("filter-error").textContent = "";
      this.on.apps(found);
      this.missed = 0;
      this.table.replace(found.events, !found.more);
      this.showEmpty();
      this.live.follow(this.query, found.newest);
    } catch (error) {
      if (signal.aborted) return;
      this.refused(error);
    }
    byId("events").removeAttribute("aria-busy");
    this.showCount();
  }

  refused(error) {
    const ours = error.status === 400;
    byId("filter-error").textContent = ours ? error.message : "";
    this.connection(ours ? "idle" : "off");
    if (ours && this.table.rows.length) return;
    this.table.replace([], true);
    if (ours) return;
    byId("empty").hidden = false;
    byId("empty").replaceChildren(...failed(error.status ? error.message : "The collector does not answer. Is it running?", () => this.load()));
    this.retry = setTimeout(() => this.load(), RETRY_MS);
  }

  async older() {
    if (this.loadingOlder || this.table.complete || this.table.last === null) return;
    this.loadingOlder = true;
    const { signal } = this.list.controller;
    try {
      const found = await get("events", { ...this.query, limit: PAGE, before: this.table.last }, signal);
      if (!signal.aborted) this.table.append(found.events, !found.more);
    } catch (error) {
      if (signal.aborted) return;
      byId("count").textContent = `Older events could not be read: ${error.message}`;
      await new Promise((done) => setTimeout(done, 2000));
    } finally {
      this.loadingOlder = false;
    }
    this.showCount();
  }

  arrived(found) {
    if (this.paused || this.table.detached) this.missed += found.events.length;
    else if (found.gap) this.load();
    else this.unsaid += this.table.prepend(found.events);
    if (this.table.rows.length) byId("empty").hidden = true;
    this.showCount();
  }

  announce() {
    if (this.unsaid) byId("announce").textContent = `${this.unsaid} new event${this.unsaid === 1 ? "" : "s"}`;
    this.unsaid = 0;
  }

  showEmpty() {
    const empty = byId("empty");
    empty.hidden = this.table.rows.length > 0;
    if (empty.hidden) return;
    empty.replaceChildren(...(this.state.q ? noMatch(this.state.q, () => this.on.clear()) : waiting(this.state.app, tabs)));
  }

  showCount() {
    const size = this.table.rows.length;
    byId("count").textContent = `${count(size)} event${size === 1 ? "" : "s"}${this.table.complete ? "" : " loaded, scroll for more"}`;
    const pause = byId("pause");
    pause.textContent = this.paused ? `Resume${this.missed ? ` (${count(this.missed)} new)` : ""}` : "Pause";
    pause.setAttribute("aria-pressed", String(this.paused));
    byId("newest").hidden = !this.table.detached && this.table.viewport.scrollTop < 400;
  }

  pause() {
    this.paused = !this.paused;
    if (!this.paused && this.missed) this.load();
    byId("connection").dataset.paused = String(this.paused);
    this.showCount();
  }

  newest() {
    if (this.table.detached) this.load();
    this.table.viewport.scrollTop = 0;
    this.table.moveTo(0);
  }

  connection(name, seconds) {
    const node = byId("connection");
    node.dataset.state = name;
    // The countdown is for eyes: a screen reader hears the change of state alone.
    node.setAttribute("aria-label", name === "reconnecting" ? "Reconnecting" : STATES[name]);
    node.textContent = name === "reconnecting" ? `Reconnecting in ${seconds} s` : STATES[name];
  }

  // --- one event

  async open(id, push = true) {
    const from = this.state.event;
    this.state.event = id;
    if (push) this.on.address(from === null);
    this.table.setOpened(id);
    const signal = this.opening.start();
    const nodes = await this.read(id, signal);
    if (signal.aborted || this.state.event !== id) return;
    const pane = byId("detail");
    pane.replaceChildren(...nodes);
    pane.hidden = false;
    pane.scrollTop = 0;
    document.body.classList.add("with-detail");
    this.table.later();
    if (from === null) pane.focus({ preventScroll: true });
  }

  async read(id, signal) {
    try {
      const found = await readEvent(this.state.app, id, signal);
      const explain = () => send("POST", "trial", { app: this.state.app }, { event: id });
      return detail(id, found.event, { close: () => this.close(), move: (step) => this.move(step), filter: this.on.filter, explain });
    } catch (error) {
      return [el("header", { class: "detail-head" }, el("h2", {}, error.status === 404 ? "There is no such event" : "The event could not be read"),
        el("p", {}, error.message), el("button", { type: "button", id: "close", onclick: () => this.close() }, "Close"))];
    }
  }

  close(push = true) {
    if (this.state.event === null) return false;
    this.state.event = null;
    if (push) this.on.address(true);
    byId("detail").hidden = true;
    byId("detail").replaceChildren();
    document.body.classList.remove("with-detail");
    this.table.setOpened(null);
    this.table.focusCurrent();
    return true;
  }

  move(step) {
    const row = this.table.moveTo(this.table.current < 0 ? 0 : this.table.current + step);
    if (!row) return;
    if (this.state.event !== null) this.open(row.id);
    else this.table.focusCurrent();
  }

  openCurrent() {
    const row = this.table.rows[this.table.current];
    if (!row) return false;
    this.open(row.id);
    return true;
  }
}
