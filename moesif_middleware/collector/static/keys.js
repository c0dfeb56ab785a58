// The keyboard: one table of keys, from which the shortcuts' help is made too.

import { el } from "./dom.js";

const HELP = [
  ["j or ↓", "next, older event"],
  ["k or ↑", "previous, newer event"],
  ["Enter", "open the event"],
  ["Esc", "close the event, or leave the filter"],
  ["/", "go to the filter"],
  ["p", "pause or resume"],
  ["g", "go to the newest event"],
  ["c", "copy the open event as curl"],
  ["1 2 3", "events, overview, rules"],
  ["?", "these shortcuts, and the filter's language"],
];

const LANGUAGE = [
  ["status:5xx", "404, 5xx, >=400, 400..499, none"],
  ["verb:POST,PUT", "a comma means or"],
  ["-user:42", "a minus means not"],
  ["route:/items/{id}", "exact; * stands for anything"],
  ["took:>500", "milliseconds; >1.5s, 100..200"],
  ['body:"out of stock"', "anywhere in the JSON of either body"],
  ["since:1h until:5m", "that long ago, or a time"],
  ["company: ip: session: id: action:", "exact; * stands for anything"],
  ["blocked:yes type:action direction:outgoing", "blocked by a rule; user actions; calls that the app made"],
  ["metadata.region:eu", "any path into the event; metadata.region:* has one"],
  ["orders", "a word in the address"],
];

export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target.matches("input, select, textarea, [contenteditable]");
    const name = event.key;
    if (typing && name !== "Escape") return;
    // Enter on a button or link is that button's.
    if (name === "Enter" && event.target.closest("button, summary")) return;
    if (name.startsWith("Arrow") && event.target.closest("#detail")) return;
    const action = actions[name];
    if (action && action(event) !== false) event.preventDefault();
  });
}

export function help(dialog) {
  dialog.replaceChildren(
    el("h2", { id: "dialog-title" }, "Keyboard"),
    el("dl", { class: "keys" }, HELP.map(([key, text]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)))),
    el("h2", {}, "Filter"),
    el("dl", { class: "keys wide" }, LANGUAGE.map(([text, meaning]) => el("div", {}, el("dt", {}, el("code", {}, text)), el("dd", {}, meaning)))),
    el("button", { type: "button", onclick: () => dialog.close() }, "Close"));
  dialog.showModal();
}
