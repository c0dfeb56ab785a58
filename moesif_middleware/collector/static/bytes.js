// A base64 body as text and as a hex dump, a piece at a time.

import { el, tabs } from "./dom.js";

const TEXT_STEP = 65536;
const HEX_STEP = 4096;

/** Return the bytes of base64 text, or null when it is not base64. A cut tail is left out. */
export function decode(text) {
  const clean = String(text).replace(/\s+/g, "").replace(/=+$/, "");
  try {
    const binary = atob(clean.length % 4 === 1 ? clean.slice(0, -1) : clean);
    return Uint8Array.from(binary, (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Return the text of bytes that are UTF-8 without control characters, else null. */
export function asText(bytes) {
  try {
    // The last character may have been cut: three bytes at most.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

export function bytesView(bytes) {
  const readable = asText(bytes);
  const lossy = () => readable ?? new TextDecoder("utf-8").decode(bytes);
  const panels = {
    Text: () => pieces(lossy(), TEXT_STEP, (text) => text, "text"),
    Hex: () => pieces(bytes, HEX_STEP, hexDump, "hex"),
  };
  return tabs("Body as", panels, readable === null ? "Hex" : "Text");
}

/** Return a `pre` that shows `whole` a step at a time. */
export function pieces(whole, step, format, kind) {
  const shown = el("pre", { class: kind, tabindex: "0" });
  const holder = el("div", {}, shown);
  let done = 0;
  const button = el("button", { type: "button", class: "link", onclick: () => more() });
  const more = () => {
    shown.append(format(whole.slice(done, done + step), done));
    done = Math.min(done + step, whole.length);
    button.textContent = `Show more (${whole.length - done} left)`;
    if (done < whole.length) holder.append(button);
    else button.remove();
  };
  more();
  return holder;
}

export function hexDump(bytes, start = 0) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.slice(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const left = hex.slice(0, 8).join(" ").padEnd(23);
    const right = hex.slice(8).join(" ").padEnd(23);
    const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${(start + at).toString(16).padStart(8, "0")}  ${left}  ${right}  ${text}\n`);
  }
  return lines.join("");
}
