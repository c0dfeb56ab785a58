// The page: its state lives in the address, and the views follow from it.

import { deleteMatching, exportArchive } from "./actions.js";
import { byId, el } from "./dom.js";
import { Events } from "./events.js";
import { help, listen } from "./keys.js";
import { Overview } from "./overview.js";
import { valueOf, withQualifier } from "./query.js";
import { Rules } from "./rules.js";

const TYPING_MS = 250;
const VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const VIEWS = ["events", "overview", "rules"];

const state = { view: "events", q: "", app: "", event: null, range: "" };
let apps = null;

const events = new Events(state, {
  address: writeAddress,
  apps: showApps,
  filter: (name, value) => filterBy(withQualifier(state.q, name, value)),
  clear: () => filterBy(""),
});
const overview = new Overview(byId("overview"), {
  range: (name) => { state.range = name; writeAddress(false); },
  filter: (name, value) => showEvents(withQualifier(state.q, name, value)),
  between: (first, last) => showEvents(withQualifier(withQualifier(state.q, "since", iso(first)), "until", iso(last))),
});

const rules = new Rules(byId("rules"), () => events.query, {
  open: (id) => { state.view = "events"; showView(); events.open(id); },
});

// --- the address

function readAddress() {
  const query = new URLSearchParams(location.search);
  const view = query.get("view") ?? "events";
  return {
    view: VIEWS.includes(view) ? view : "events",
    q: query.get("q") ?? "",
    app: query.get("app") || apps?.[0] || "",
    event: query.get("event"),
    range: query.get("range") ?? "",
  };
}

function writeAddress(push) {
  const query = new URLSearchParams();
  if (state.view !== "events") query.set("view", state.view);
  if (state.app && apps?.[0] !== state.app) query.set("app", state.app);
  for (const name of ["q", "range", "event"]) if (state[name]) query.set(name, state[name]);
  const target = query.size ? `?${query}` : location.pathname;
  if (target !== location.search) history[push ? "pushState" : "replaceState"](null, "", target);
}

function follow() {
  const before = { ...state };
  const found = readAddress();
  Object.assign(state, { ...found, event: before.event });
  showFilter();
  if (apps === null || found.q !== before.q || found.app !== before.app) events.load();
  if (found.event !== before.event) found.event ? events.open(found.event, false) : events.close(false);
  showView();
}

// --- the views

function showView() {
  for (const name of VIEWS) byId(name === "events" ? "main" : name).hidden = name !== state.view;
  for (const link of byId("views").children) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const id of ["pause", "export", "delete"]) byId(id).hidden = state.view !== "events";
  if (state.view === "overview") overview.show(events.query, state.range);
  else overview.hide();
  if (state.view === "rules") rules.show();
  if (state.view === "events") events.table.later();
}

function goTo(view) {
  state.view = view;
  writeAddress(true);
  showView();
}

function showEvents(text) {
  state.view = "events";
  if (!filterBy(text)) writeAddress(true);
  showView();
}

function filterBy(text, push = true) {
  if (text === state.q) return false;
  state.q = text;
  showFilter();
  writeAddress(push);
  events.load();
  if (state.view === "overview") overview.show(events.query, state.range);
  return true;
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
  apps = found.apps;
  state.app = found.app;
  byId("app-choice").hidden = apps.length < 2;
  byId("app").replaceChildren(...apps.map((app) => el("option", { value: app, selected: app === found.app }, app)));
}

function chooseApp(app) {
  events.close(false);
  state.app = app;
  writeAddress(true);
  events.load();
  showView();
}

function iso(ms) {
  return new Date(ms).toISOString();
}

// --- what is around

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

function wireFilter() {
  byId("statuses").append(...["", "2xx", "3xx", "4xx", "5xx"].map((value) => el("button",
    { type: "button", value, onclick: () => filterBy(withQualifier(state.q, "status", value)) }, value || "All")));
  byId("verbs").append(el("option", { value: "" }, "Any verb"), ...VERBS.map((verb) => el("option", { value: verb }, verb)));
  byId("verbs").addEventListener("change", (event) => filterBy(withQualifier(state.q, "verb", event.target.value)));
  byId("app").addEventListener("change", (event) => chooseApp(event.target.value));
  let typing;
  byId("filter").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => filterBy(event.target.value.trim(), false), TYPING_MS);
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    filterBy(byId("filter").value.trim());
    if (state.view === "events" && events.table.moveTo(0)) events.table.focusCurrent();
  });
}

function wireButtons() {
  const dialog = byId("dialog");
  byId("views").addEventListener("click", (event) => {
    const view = event.target.dataset.view;
    if (!view || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    goTo(view);
  });
  byId("pause").addEventListener("click", () => events.pause());
  byId("newest").addEventListener("click", () => events.newest());
  byId("export").addEventListener("click", () => exportArchive(events.query));
  byId("delete").addEventListener("click", () => deleteMatching(dialog, events.query, () => { events.close(); events.load(); showView(); }));
  byId("theme").addEventListener("click", switchTheme);
  byId("keys").addEventListener("click", () => help(dialog));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
}

function wireKeys() {
  const onEvents = (act) => (event) => (state.view === "events" ? act(event) : false);
  listen({
    j: onEvents(() => events.move(1)), ArrowDown: onEvents(() => events.move(1)),
    k: onEvents(() => events.move(-1)), ArrowUp: onEvents(() => events.move(-1)),
    Enter: onEvents(() => events.openCurrent()),
    Escape: (event) => (event.target.matches("input, select, textarea") ? event.target.blur() : events.close()),
    "/": () => byId("filter").select(),
    p: onEvents(() => events.pause()), g: onEvents(() => events.newest()),
    c: onEvents(() => byId("copy-curl")?.click()),
    1: () => goTo("events"), 2: () => goTo("overview"), 3: () => goTo("rules"),
    "?": () => help(byId("dialog")),
  });
}

wireFilter();
wireButtons();
wireKeys();
addEventListener("popstate", follow);
showTheme();
follow();
