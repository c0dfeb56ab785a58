// The table of events: any number of rows in memory up to a cap, only those in sight in the document.

import { el } from "./dom.js";
import { clock, pathOf, statusKind, took } from "./show.js";

export const ROW_HEIGHT = 32;
const OVERSCAN = 12;
const MOST_ROWS = 50000;
const NEAR_END = 40;
// The stream may repeat what the list already showed: no further back than a page and a message.
const RECENT = 1000;

export class EventTable {
  constructor({ viewport, body, onOpen, onEnd }) {
    Object.assign(this, { viewport, body, onOpen, onEnd });
    this.rows = [];
    this.made = new Map();
    this.fresh = new Set();
    this.current = -1;
    this.opened = null;
    this.complete = false;
    this.detached = false;
    this.above = spacer();
    this.below = spacer();
    viewport.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.later()).observe(viewport);
    body.addEventListener("click", (event) => this.clicked(event));
  }

  get last() { return this.rows.at(-1)?.at ?? null; }
  get atTop() { return this.viewport.scrollTop < ROW_HEIGHT; }

  /** Show these rows in place of what is there. */
  replace(rows, complete) {
    this.rows = rows;
    this.complete = complete;
    this.detached = false;
    this.made.clear();
    this.fresh.clear();
    this.current = rows.findIndex((row) => row.id === this.opened);
    this.viewport.scrollTop = 0;
    this.draw();
  }

  /** Put newer rows on top; what is being read stays where it is. */
  prepend(rows) {
    const known = new Set(this.rows.slice(0, RECENT).map((row) => row.id));
    const added = rows.filter((row) => !known.has(row.id));
    if (!added.length) return 0;
    const held = !this.atTop;
    this.rows = [...added, ...this.rows];
    for (const row of added.slice(0, 100)) this.fresh.add(row.id);
    if (this.current >= 0) this.current += added.length;
    if (this.rows.length > MOST_ROWS) {
      this.rows.length = MOST_ROWS;
      this.complete = false;
    }
    this.draw(held ? added.length * ROW_HEIGHT : 0);
    return added.length;
  }

  /** Add older rows at the end. Over the cap the newest go, and the list no longer takes live rows. */
  append(rows, complete) {
    this.rows = [...this.rows, ...rows];
    this.complete = complete;
    const over = this.rows.length - MOST_ROWS;
    if (over > 0) {
      this.rows = this.rows.slice(over);
      this.detached = true;
      this.current = Math.max(-1, this.current - over);
    }
    this.draw(over > 0 ? -over * ROW_HEIGHT : 0);
  }

  later() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
  }

  draw(shift = 0) {
    const total = this.rows.length;
    // The spacers first: a scroll position is cut to the height that is there.
    if (shift) this.below.firstChild.style.height = `${total * ROW_HEIGHT + Math.abs(shift)}px`;
    if (shift) this.viewport.scrollTop += shift;
    const first = Math.max(0, Math.floor(this.viewport.scrollTop / ROW_HEIGHT) - OVERSCAN);
    const last = Math.min(total, first + Math.ceil(this.viewport.clientHeight / ROW_HEIGHT) + 2 * OVERSCAN);
    const shown = new Map();
    for (const row of this.rows.slice(first, last)) shown.set(row.id, this.made.get(row.id) ?? this.make(row));
    this.made = shown;
    this.above.firstChild.style.height = `${first * ROW_HEIGHT}px`;
    this.below.firstChild.style.height = `${(total - last) * ROW_HEIGHT}px`;
    this.place([this.above, ...shown.values(), this.below]);
    [...shown.values()].forEach((node, index) => this.mark(node, first + index));
    this.body.parentElement.setAttribute("aria-rowcount", this.complete ? String(total + 1) : "-1");
    if (!this.complete && total && total - last < NEAR_END) this.onEnd();
  }

  place(wanted) {
    // Only what changed is moved, so that focus and selection stay where they are.
    const keep = new Set(wanted);
    for (const node of [...this.body.children]) if (!keep.has(node)) node.remove();
    let at = this.body.firstChild;
    for (const node of wanted) {
      if (node === at) at = at.nextSibling;
      else this.body.insertBefore(node, at);
    }
  }

  mark(node, index) {
    node.setAttribute("aria-rowindex", String(index + 2));
    node.classList.toggle("current", index === this.current);
    if (node.dataset.id === this.opened) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
  }

  make(row) {
    const { path, query } = pathOf(row.uri);
    const action = row.event_type === "user_action";
    const link = el("a", { href: this.href(row), title: row.uri }, path, query && el("span", { class: "dim" }, query));
    const node = el("tr", { class: this.fresh.delete(row.id) ? "fresh" : null, "data-id": row.id },
      el("td", { class: "c-time", title: new Date(row.time_ms).toISOString() }, clock(row.time_ms)),
      el("td", { class: "c-verb" }, action ? "action" : row.verb ?? ""),
      el("td", { class: "c-uri" }, action && el("strong", {}, `${row.action_name} `), link, row.blocked_by && tag("blocked"),
        row.direction === "Outgoing" && tag("outgoing"), row.weight > 1 && tag(`×${row.weight}`)),
      el("td", { class: "c-status" }, action ? "" : status(row.status)),
      el("td", { class: "c-took" }, took(row.duration_ms)),
      el("td", { class: "c-user", title: row.user_id }, row.user_id ?? ""),
      el("td", { class: "c-company", title: row.company_id }, row.company_id ?? ""));
    return node;
  }

  href(row) {
    const query = new URLSearchParams(location.search);
    query.set("event", row.id);
    return `?${query}`;
  }

  clicked(event) {
    const node = event.target.closest("tr[data-id]");
    if (!node || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    // Text that is being selected is no click.
    if (!event.target.closest("a") && String(getSelection())) return;
    event.preventDefault();
    this.moveTo(this.rows.findIndex((row) => row.id === node.dataset.id));
    this.onOpen(this.rows[this.current]);
  }

  moveTo(index) {
    if (!this.rows.length) return null;
    this.current = Math.max(0, Math.min(index, this.rows.length - 1));
    const top = this.current * ROW_HEIGHT;
    const head = this.body.parentElement.tHead.offsetHeight;
    const room = this.viewport.clientHeight - head - ROW_HEIGHT;
    if (top < this.viewport.scrollTop) this.viewport.scrollTop = top;
    else if (top > this.viewport.scrollTop + room) this.viewport.scrollTop = top - room;
    this.draw();
    return this.rows[this.current];
  }

  focusCurrent() {
    const row = this.rows[this.current];
    this.made.get(row?.id)?.querySelector("a")?.focus({ preventScroll: true });
  }

  setOpened(id) {
    this.opened = id;
    const found = id === null ? -1 : this.rows.findIndex((row) => row.id === id);
    if (found >= 0) this.current = found;
    this.draw();
  }
}

function spacer() {
  return el("tr", { class: "spacer", "aria-hidden": "true" }, el("td"));
}

function tag(text) {
  return el("span", { class: "tag" }, text);
}

export function status(code) {
  return el("span", { class: `status ${statusKind(code)}` }, code ? String(code) : "none");
}
