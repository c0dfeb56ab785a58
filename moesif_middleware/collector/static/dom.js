// Builds elements. Strings become text nodes: nothing on this page ever parses captured content as markup.

/** Return an element; `on...` attributes are listeners, false and null ones are left out. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Return an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Copy text and say so on the button for a moment. */
export async function copyFrom(button, text) {
  const label = (button.dataset.label ??= button.textContent);
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = copyOld(text) ? "Copied" : "Copying is blocked";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

// Over plain HTTP from another machine there is no navigator.clipboard.
function copyOld(text) {
  const area = el("textarea", { class: "visually-hidden", readonly: true });
  const focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}

/** A small tab strip over panels that are made when they are first shown. */
export function tabs(label, panels, first) {
  const holder = el("div", { class: "tab-panel" });
  const made = new Map();
  const buttons = Object.keys(panels).map((name) =>
    el("button", { type: "button", class: "tab", "aria-pressed": "false", onclick: () => show(name) }, name));
  const show = (name) => {
    if (!made.has(name)) made.set(name, panels[name]());
    holder.replaceChildren(made.get(name));
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.textContent === name));
  };
  show(first ?? Object.keys(panels)[0]);
  return { strip: el("div", { class: "tabs", role: "group", "aria-label": label }, buttons), holder };
}
