// The page: its state lives in the address, everything else follows from it.

import { event as readEvent, get, Live } from "./api.js";
import { detail } from "./detail.js";
import { byId, el, tabs } from "./dom.js";
import { failed, noMatch, waiting } from "./empty.js";
import { help, listen } from "./keys.js";
import { valueOf, withQualifier } from "./query.js";
import { count } from "./show.js";
import { EventTable } from "./table.js";

const PAGE = 200;
const TYPING_MS = 250;
const ANNOUNCE_MS = 4000;
const HIDDEN_MS = 10000;
const VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

const state = { q: "", app: "", event: null, paused: false, missed: 0, asked: 0, loadingOlder: false, unsaid: 0 };
const table = new EventTable({ viewport: byId("viewport"), body: byId("rows"), onOpen: (row) => open(row.id), onEnd: older });
const live = new Live({ onRows: arrived, onState: connection });

// --- the address -----------------------------------------------------------------------------------------------

function readAddress() {
  const query = new URLSearchParams(location.search);
  return { q: query.get("q") ?? "", app: query.get("app") ?? "", event: query.get("event") };
}

function writeAddress(push) {
  const query = new URLSearchParams();
  if (state.app && state.apps?.[0] !== state.app) query.set("app", state.app);
  if (state.q) query.set("q", state.q);
  if (state.event) query.set("event", state.event);
  const text = query.toString();
  const target = text ? `?${text}` : location.pathname;
  if (target === location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", target);
}

function follow() {
  const found = readAddress();
  const other = found.q !== state.q || (found.app || state.apps?.[0] || "") !== state.app;
  Object.assign(state, { q: found.q, app: found.app || state.apps?.[0] || "" });
  showFilter();
  if (other || !state.apps) load();
  if (found.event !== state.event) found.event ? open(found.event, false) : close(false);
}

// --- the list --------------------------------------------------------------------------------------------------

async function load() {
  const ticket = ++state.asked;
  live.stop();
  try {
    const found = await get("events", { q: state.q, app: state.app, limit: PAGE });
    if (ticket !== state.asked) return;
    byId("filter-error").textContent = "";
    showApps(found);
    state.missed = 0;
    table.replace(found.events, !found.more);
    showEmpty();
    live.follow({ q: state.q, app: state.app }, found.newest);
  } catch (error) {
    if (ticket !== state.asked) return;
    refused(error);
  }
  showCount();
}

function refused(error) {
  const ours = error.status === 400;
  byId("filter-error").textContent = ours ? error.message : "";
  if (ours) return connection("idle");
  table.replace([], true);
  byId("empty").hidden = false;
  byId("empty").replaceChildren(...failed(error.status ? error.message : "The collector does not answer. Is it running?", load));
  connection("off");
  state.retry = setTimeout(load, 5000);
}

async function older() {
  if (state.loadingOlder || table.complete || table.oldest === null) return;
  state.loadingOlder = true;
  const ticket = state.asked;
  try {
    const found = await get("events", { q: state.q, app: state.app, limit: PAGE, before: table.oldest });
    if (ticket === state.asked) table.append(found.events, !found.more);
  } catch (error) {
    byId("count").textContent = `Older events could not be read: ${error.message}`;
    await new Promise((done) => setTimeout(done, 2000));
  } finally {
    state.loadingOlder = false;
  }
  showCount();
}

function arrived(found) {
  if (state.paused || table.detached) {
    state.missed += found.events.length;
    showCount();
    return;
  }
  if (found.gap) {
    load();
    return;
  }
  state.unsaid += table.prepend(found.events);
  byId("empty").hidden = table.rows.length > 0;
  showCount();
}

function showEmpty() {
  const empty = byId("empty");
  empty.hidden = table.rows.length > 0;
  if (!empty.hidden) {
    empty.replaceChildren(...(state.q ? noMatch(state.q, () => filterBy("")) : waiting(state.app, tabs)));
  }
}

function showCount() {
  const size = table.rows.length;
  byId("count").textContent = `${count(size)} event${size === 1 ? "" : "s"}${table.complete ? "" : " loaded, scroll for more"}`;
  const pause = byId("pause");
  pause.textContent = state.paused ? `Resume${state.missed ? ` (${count(state.missed)} new)` : ""}` : "Pause";
  pause.setAttribute("aria-pressed", String(state.paused));
  byId("newest").hidden = !table.detached && table.viewport.scrollTop < 400;
}

function pause() {
  state.paused = !state.paused;
  if (!state.paused && state.missed) load();
  byId("connection").dataset.paused = String(state.paused);
  showCount();
}

function newest() {
  if (table.detached) load();
  table.viewport.scrollTop = 0;
  table.moveTo(0);
}

// --- one event -------------------------------------------------------------------------------------------------

async function open(id, push = true) {
  const from = state.event;
  state.event = id;
  if (push) writeAddress(from === null);
  table.setOpened(id);
  const pane = byId("detail");
  try {
    const found = await readEvent(state.app, id);
    if (state.event !== id) return;
    pane.replaceChildren(...detail(id, found.event, { close, move, filter: (name, value) => filterBy(withQualifier(state.q, name, value)) }));
  } catch (error) {
    if (state.event !== id) return;
    pane.replaceChildren(el("header", { class: "detail-head" }, el("h2", {}, error.status === 404 ? "There is no such event" : "The event could not be read"),
      el("p", {}, error.message), el("button", { type: "button", id: "close", onclick: () => close() }, "Close")));
  }
  pane.hidden = false;
  pane.scrollTop = 0;
  document.body.classList.add("with-detail");
  table.later();
  if (from === null) pane.focus({ preventScroll: true });
}

function close(push = true) {
  if (state.event === null) return false;
  state.event = null;
  if (push) writeAddress(true);
  byId("detail").hidden = true;
  byId("detail").replaceChildren();
  document.body.classList.remove("with-detail");
  table.setOpened(null);
  table.focusCurrent();
  return true;
}

function move(step) {
  const row = table.moveTo(table.current < 0 ? 0 : table.current + step);
  if (!row) return;
  if (state.event !== null) open(row.id);
  else table.focusCurrent();
}

// --- the filter ------------------------------------------------------------------------------------------------

function filterBy(text, push = true) {
  if (text === state.q) return;
  state.q = text;
  showFilter();
  writeAddress(push);
  load();
}

function showFilter() {
  const input = byId("filter");
  if (document.activeElement !== input || input.value.trim() !== state.q) input.value = state.q;
  const status = valueOf(state.q, "status");
  for (const button of byId("statuses").children) button.setAttribute("aria-pressed", String(button.value === (status ?? "")));
  const verb = (valueOf(state.q, "verb") ?? "").toUpperCase();
  byId("verbs").value = VERBS.includes(verb) ? verb : "";
  document.title = state.q ? `${state.q} · Collector` : "Events · Collector";
}

function showApps(found) {
  state.apps = found.apps;
  state.app = found.app;
  byId("app-choice").hidden = found.apps.length < 2;
  byId("app").replaceChildren(...found.apps.map((app) => el("option", { value: app, selected: app === found.app }, app)));
}

// --- what is around --------------------------------------------------------------------------------------------

const STATES = { connecting: "Connecting", live: "Live", off: "Not reachable", idle: "Not listening" };

function connection(name, seconds) {
  const node = byId("connection");
  node.dataset.state = name;
  // The countdown is for eyes: a screen reader hears the change of state alone.
  node.setAttribute("aria-label", name === "reconnecting" ? "Reconnecting" : STATES[name]);
  node.textContent = name === "reconnecting" ? `Reconnecting in ${seconds} s` : STATES[name];
  clearTimeout(state.retry);
}

function showTheme() {
  const chosen = document.documentElement.dataset.theme;
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  byId("theme").textContent = dark ? "Light" : "Dark";
  return dark ? "light" : "dark";
}

function switchTheme() {
  const next = showTheme();
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
  showTheme();
}

function start() {
  byId("statuses").append(...["", "2xx", "3xx", "4xx", "5xx"].map((value) => el("button",
    { type: "button", value, onclick: () => filterBy(withQualifier(state.q, "status", value)) }, value || "All")));
  byId("verbs").append(el("option", { value: "" }, "Any verb"), ...VERBS.map((verb) => el("option", { value: verb }, verb)));
  byId("verbs").addEventListener("change", (event) => filterBy(withQualifier(state.q, "verb", event.target.value)));
  byId("app").addEventListener("change", (event) => { state.app = event.target.value; close(false); writeAddress(true); load(); });
  let typing;
  byId("filter").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => filterBy(event.target.value.trim(), false), TYPING_MS);
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    filterBy(byId("filter").value.trim());
    if (table.rows.length) { table.moveTo(0); table.focusCurrent(); }
  });
  byId("pause").addEventListener("click", pause);
  byId("newest").addEventListener("click", newest);
  byId("theme").addEventListener("click", switchTheme);
  byId("keys").addEventListener("click", () => help(byId("shortcuts")));
  byId("viewport").addEventListener("scroll", showCount, { passive: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  addEventListener("popstate", follow);
  listen({
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    Enter: () => { if (table.current < 0) return false; return open(table.rows[table.current].id) && true; },
    Escape: (event) => { if (event.target.id === "filter") event.target.blur(); else return close(); return true; },
    "/": () => byId("filter").select(), p: pause, g: newest,
    c: () => byId("copy-curl")?.click(), "?": () => help(byId("shortcuts")),
  });
  setInterval(() => {
    if (state.unsaid) byId("announce").textContent = `${state.unsaid} new event${state.unsaid === 1 ? "" : "s"}`;
    state.unsaid = 0;
  }, ANNOUNCE_MS);
  // A browser opens six connections to one host: a page that nobody sees must not keep one.
  let hidden;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(() => live.stop(), HIDDEN_MS);
    else live.resume();
  });
  addEventListener("pagehide", () => live.stop());
  addEventListener("pageshow", (event) => { if (event.persisted) live.resume(); });
  showTheme();
  follow();
}

start();
