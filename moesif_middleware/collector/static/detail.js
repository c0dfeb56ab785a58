// One event: request and response side by side, what it was about, and its metadata.

import { bytesView, decode, pieces } from "./bytes.js";
import { curl } from "./curl.js";
import { copyFrom, el, tabs } from "./dom.js";
import { explanation } from "./explain.js";
import { write } from "./json.js";
import * as show from "./show.js";
import { status } from "./table.js";
import { expandAll, tree } from "./tree.js";

/** Return the nodes of an event's page. `on` has close(), filter(name, value), move(step) and explain(). */
export function detail(id, event, on) {
  const request = event.request ?? {};
  return [
    heading(id, event, on),
    facts(id, event, on),
    el("div", { class: "sides" },
      event.event_type === "user_action" ? null : side("Request", request, event.metadata, "request"),
      event.event_type === "user_action" ? null : side("Response", event.response, event.metadata, "response")),
    event.metadata ? section("Metadata", jsonView(event.metadata)) : null,
    event.event_type === "user_action" ? null : section("Rules", explained(on)),
    section("Whole event", closed("As stored", () => jsonView(event))),
  ].filter(Boolean);
}

function heading(id, event, on) {
  const request = event.request ?? {};
  const { path, query } = show.pathOf(request.uri);
  const name = event.action_name ?? request.verb ?? "";
  return el("header", { class: "detail-head" },
    el("h2", { id: "detail-title", tabindex: "-1" }, el("span", { class: "verb" }, name), " ",
      el("span", { class: "path" }, path), query && el("span", { class: "path dim" }, query)),
    el("div", { class: "bar" },
      event.event_type === "user_action" ? null : status(event.response?.status),
      event.duration_ms === undefined ? null : el("span", { class: "took" }, show.took(event.duration_ms)),
      el("span", { class: "grow" }),
      request.verb ? copier("Copy as curl", () => curl(request), "copy-curl") : null,
      copier("Copy JSON", () => write(event), "copy-json"),
      copier("Copy link", () => location.href, "copy-link"),
      el("button", { type: "button", class: "quiet", title: "Newer event (k)", "aria-label": "Newer event", onclick: () => on.move(-1) }, "↑"),
      el("button", { type: "button", class: "quiet", title: "Older event (j)", "aria-label": "Older event", onclick: () => on.move(1) }, "↓"),
      el("button", { type: "button", class: "quiet", id: "close", title: "Close (Esc)", "aria-label": "Close", onclick: () => on.close() }, "✕")));
}

function copier(label, text, id) {
  const button = el("button", { type: "button", id }, label);
  button.addEventListener("click", () => copyFrom(button, text()));
  return button;
}

function facts(id, event, on) {
  const request = event.request ?? {};
  const route = event.metadata?.route ?? request.route;
  const found = [
    ["Time", request.time && show.moment(request.time)],
    ["Route", route, "route"],
    ["User", event.user_id, "user"],
    ["Company", event.company_id, "company"],
    ["Client", request.ip_address, "ip"],
    ["Session", event.session_token],
    ["API version", request.api_version],
    ["Direction", event.direction === "Incoming" ? null : event.direction],
    ["Weight", event.weight > 1 ? `${event.weight}, stands for as many calls` : null],
    ["Blocked by", event.blocked_by],
    ["Tags", event.tags?.length ? [event.tags].flat().join(", ") : null],
    ["Transaction id", id],
  ];
  return el("dl", { class: "facts" }, found.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value, filter]) => el("div", {}, el("dt", {}, name), el("dd", {}, filter
      ? el("button", { type: "button", class: "link", title: `Filter by this ${name.toLowerCase()}`, onclick: () => on.filter(filter, String(value)) }, show.marked(value))
      : show.marked(value)))));
}

function side(title, message, metadata, name) {
  if (!message) {
    return el("section", { class: "side", "aria-label": title }, el("h3", {}, title),
      el("p", { class: "none" }, "No response: the client went away, or the app never answered."));
  }
  const size = Object.keys(message.headers ?? {}).length;
  const query = name === "request" ? queryTable(message.uri) : null;
  return el("section", { class: `side ${name}`, "aria-label": title },
    el("h3", {}, title),
    name === "request" ? el("p", { class: "uri" }, show.marked(message.uri ?? "")) : null,
    query && section("Query", query),
    section(`Headers (${size})`, size ? pairs(Object.entries(message.headers)) : el("p", { class: "none" }, "None.")),
    body(message, metadata?.[`${name}_body_truncated`]));
}

function queryTable(uri) {
  const { query } = show.pathOf(uri);
  const found = query.length > 1 ? [...new URLSearchParams(query)] : [];
  return found.length ? pairs(found.slice(0, 500)) : null;
}

function pairs(found) {
  return el("table", { class: "pairs" }, el("tbody", {},
    found.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, show.marked(value))))));
}

function body(message, truncated) {
  const cut = truncated ? el("span", { class: "tag", title: "Only the beginning was captured" }, `cut, was ${show.bytes(Number(truncated))}`) : null;
  const empty = message.body === undefined || (message.body === null && message.transfer_encoding !== "json");
  if (empty) return section("Body", el("p", { class: "none" }, "No body was captured."), cut);
  if (message.transfer_encoding === "base64") {
    const bytes = decode(message.body);
    if (bytes === null) return section("Body", pieces(String(message.body), 65536, (text) => text, "text"), cut);
    const view = bytesView(bytes);
    return section(`Body · ${show.bytes(bytes.length)}`, view.holder, cut, view.strip);
  }
  return section("Body · JSON", jsonView(message.body), cut);
}

function jsonView(value) {
  const root = tree(value);
  const view = tabs("JSON as", { Tree: () => root, Raw: () => pieces(write(value), 65536, (text) => text, "text") });
  view.strip.append(
    el("button", { type: "button", class: "tab", onclick: () => expandAll(root, true) }, "Expand"),
    el("button", { type: "button", class: "tab", onclick: () => expandAll(root, false) }, "Collapse"));
  return el("div", { class: "json" }, view.strip, view.holder);
}

function section(title, content, ...extras) {
  return el("section", { class: "part" }, el("h4", {}, title, " ", extras), content);
}

function explained(on) {
  const button = el("button", { type: "button", id: "explain" }, "Explain what the rules decide");
  const holder = el("div", {}, button);
  button.addEventListener("click", async () => {
    try {
      holder.replaceChildren(...explanation(await on.explain()));
    } catch (error) {
      holder.replaceChildren(button, el("p", { class: "bad" }, error.message));
    }
  });
  return holder;
}

function closed(title, make) {
  const holder = el("details", { class: "closed" }, el("summary", {}, title));
  holder.addEventListener("toggle", () => { if (holder.children.length === 1) holder.append(make()); });
  return holder;
}
