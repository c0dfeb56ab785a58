// JSON that keeps its numbers: 9007199254740993 and 1.0 are shown as they were captured, not as a double.

/** A number whose text a double does not give back. */
export class Exact {
  constructor(source) { this.source = source; }
  toString() { return this.source; }
}

export function parse(text) {
  return JSON.parse(text, (_key, value, context) => {
    if (typeof value !== "number" || context?.source === undefined) return value;
    return String(value) === context.source ? value : new Exact(context.source);
  });
}

export function isBranch(value) {
  return value !== null && typeof value === "object" && !(value instanceof Exact);
}

export function scalar(value) {
  return value instanceof Exact ? value.source : JSON.stringify(value);
}

/** Write a parsed value; an indent of 0 gives one line. */
export function write(value, indent = 2, margin = "") {
  if (!isBranch(value)) return scalar(value);
  const inner = margin + " ".repeat(indent);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const items = Array.isArray(value)
    ? value.map((item) => write(item, indent, inner))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}:${indent ? " " : ""}${write(item, indent, inner)}`);
  if (!items.length) return open + close;
  return indent ? `${open}\n${inner}${items.join(`,\n${inner}`)}\n${margin}${close}` : open + items.join(",") + close;
}
