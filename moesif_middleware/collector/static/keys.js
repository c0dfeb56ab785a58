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
  ["?", "these shortcuts"],
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
    el("h2", { id: "shortcuts-title" }, "Keyboard"),
    el("dl", { class: "keys" }, HELP.map(([key, text]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)))),
    el("button", { type: "button", onclick: () => dialog.close() }, "Close"));
  dialog.showModal();
}
