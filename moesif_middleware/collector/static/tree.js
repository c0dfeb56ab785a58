// A JSON value as a tree that opens on demand: children are made when a branch is opened, a hundred at a time.

import { el } from "./dom.js";
import { isBranch, scalar } from "./json.js";
import { marked } from "./show.js";

const STEP = 100;
const LONG = 1500;
const OPEN_AT_START = 40;

export function tree(value) {
  const root = el("div", { class: "tree" });
  root.append(isBranch(value) ? branch(null, value, { left: OPEN_AT_START }) : leaf(null, value));
  return root;
}

export function expandAll(root, open, most = 2000) {
  let left = most;
  const visit = (node) => {
    for (const found of [...node.querySelectorAll(":scope details")]) {
      if (left-- <= 0) return;
      if (found.open !== open) {
        found.open = open;
        found.fillNow?.();
      }
    }
  };
  visit(root);
  // Opening makes children, which may be branches themselves.
  while (open && left > 0 && root.querySelector("details:not([open])")) visit(root);
}

function branch(key, value, budget) {
  const entries = Array.isArray(value) ? value.map((item, index) => [index, item]) : Object.entries(value);
  const size = entries.length;
  const [start, end] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (!size) return el("div", { class: "leaf" }, label(key), el("span", { class: "mark" }, start + end));
  const children = el("div", { class: "children" });
  const noun = Array.isArray(value) ? "item" : "key";
  const node = el("details", {},
    el("summary", {}, label(key), el("span", { class: "mark" }, start),
      el("span", { class: "size" }, ` ${size} ${noun}${size === 1 ? "" : "s"} `), el("span", { class: "mark" }, end)),
    children);
  let done = 0;
  const more = () => {
    for (const [name, item] of entries.slice(done, done + STEP)) {
      children.append(isBranch(item) ? branch(name, item, budget) : leaf(name, item));
    }
    done = Math.min(done + STEP, size);
    if (done < size) children.append(moreButton(size - done, more));
  };
  node.fillNow = () => { if (!done) more(); };
  node.addEventListener("toggle", () => { if (node.open) node.fillNow(); });
  if (budget.left >= size) {
    budget.left -= size;
    node.open = true;
    node.fillNow();
  }
  return node;
}

function moreButton(left, more) {
  const button = el("button", { type: "button", class: "link" }, `Show ${Math.min(left, STEP)} more of ${left}`);
  button.addEventListener("click", () => { button.remove(); more(); });
  return button;
}

function leaf(key, value) {
  const type = value === null ? "null" : typeof value === "object" ? "number" : typeof value;
  const text = scalar(value);
  const shown = el("span", { class: `v-${type}` }, text.length > LONG ? `${text.slice(0, LONG)}…` : marked(text));
  const node = el("div", { class: "leaf" }, label(key), shown);
  if (text.length > LONG) {
    const button = el("button", { type: "button", class: "link" }, `Show all ${text.length} characters`);
    button.addEventListener("click", () => { shown.textContent = text; button.remove(); });
    node.append(" ", button);
  }
  return node;
}

function label(key) {
  if (key === null) return null;
  return [el("span", { class: typeof key === "number" ? "index" : "key" }, String(key)), el("span", { class: "mark" }, ": ")];
}
