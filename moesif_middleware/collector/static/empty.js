// What stands in the table's place when there is nothing in it: why, and what to do.

import { copyFrom, el } from "./dom.js";

function recipe(app) {
  const key = JSON.stringify(app);
  const here = JSON.stringify(location.origin);
  return {
    FastAPI: `from moesif_middleware.asgi import MoesifMiddleware

app.add_middleware(
    MoesifMiddleware,
    application_id=${key},
    base_uri=${here},
)`,
    "Flask, any WSGI": `from moesif_middleware.wsgi import MoesifMiddleware

app.wsgi_app = MoesifMiddleware(
    app.wsgi_app,
    application_id=${key},
    base_uri=${here},
)`,
    Environment: `MOESIF_APPLICATION_ID=${shell(app)}
MOESIF_BASE_URI=${shell(location.origin)}`,
    "By hand": `curl ${shell(`${location.origin}/v1/events`)} \\
  --header ${shell(`X-Moesif-Application-Id: ${app}`)} \\
  --json '{
    "request": {"time": "${new Date().toISOString()}",
      "verb": "GET", "uri": "https://api.example.com/items/42",
      "headers": {"Accept": "application/json"}},
    "response": {"time": "${new Date().toISOString()}", "status": 200,
      "headers": {"Content-Type": "application/json"},
      "body": {"id": 42}}}'`,
  };
}

function shell(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Return the nodes for an application that has sent nothing so far. */
export function waiting(app, tabs) {
  const texts = recipe(app);
  const panels = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, () => snippet(text)]));
  const view = tabs("Recipe", panels);
  return [
    el("h2", {}, "No events yet"),
    el("p", {}, "This collector is up, and nothing has been sent to it for this application so far. Add one line to your app, then call it: events show up here by themselves."),
    el("div", { class: "recipe" }, view.strip, view.holder),
    el("dl", { class: "settings" },
      el("div", {}, el("dt", {}, "application_id"), el("dd", {}, el("code", {}, app))),
      el("div", {}, el("dt", {}, "base_uri"), el("dd", {}, el("code", {}, location.origin)))),
    el("h3", {}, "It still is empty?"),
    el("ul", {},
      el("li", {}, "The id must be one that the collector was started with (--app-id); another one is answered 401."),
      el("li", {}, "Events are sent in batches: give it two seconds, or call ", el("code", {}, "moesif.flush()"), "."),
      el("li", {}, el("code", {}, "moesif.stats()"), " says what was captured, delivered, sampled out or dropped, and why.")),
  ];
}

function snippet(text) {
  const button = el("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", () => copyFrom(button, text));
  return el("div", { class: "snippet" }, el("pre", {}, text), button);
}

/** Return the nodes for a filter that matches nothing. */
export function noMatch(text, onClear) {
  return [
    el("h2", {}, "No event matches"),
    el("p", {}, "Nothing that is stored for this application matches ", el("code", {}, text), ". New events that do will show up here."),
    el("button", { type: "button", id: "clear", onclick: onClear }, "Clear the filter"),
  ];
}

/** Return the nodes for an answer that did not come. */
export function failed(message, onRetry) {
  return [
    el("h2", {}, "The events could not be read"),
    el("p", {}, message),
    el("button", { type: "button", onclick: onRetry }, "Try again"),
  ];
}
