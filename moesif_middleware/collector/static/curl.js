// One captured request as a curl command for a POSIX shell.

import { asText, decode } from "./bytes.js";
import { write } from "./json.js";

// What curl sets itself, or what only holds for the connection that was captured.
const LEFT_OUT = new Set(["host", "content-length", "connection", "transfer-encoding", "accept-encoding", "expect"]);
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/** Quote one word. Control characters are escaped, so that a pasted command cannot drive the terminal. */
export function quote(text) {
  if (!CONTROL.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const escaped = text.replace(/[\\']/g, "\\$&").replaceAll("\n", "\\n").replace(new RegExp(CONTROL, "g"), (char) => {
    const code = char.charCodeAt(0);
    return code < 128 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return `$'${escaped}'`;
}

export function curl(request) {
  const verb = request.verb.toUpperCase();
  const { data, pipe } = bodyWords(request);
  const lines = [`${pipe}curl --url ${quote(request.uri)}`];
  // With --url nothing in a captured address can be read as an option; with --globoff brackets are only brackets.
  if (/[[\]{}]/.test(request.uri)) lines.push("--globoff");
  if (verb === "HEAD") lines.push("--head");
  else if (verb !== (data ? "POST" : "GET")) lines.push(`--request ${quote(verb)}`);
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    const known = name.toLowerCase();
    if (known === "accept-encoding") lines.push("--compressed");
    if (LEFT_OUT.has(known) || !TOKEN.test(name)) continue;
    const clean = value.replace(/[\r\n\0]+/g, " ");
    lines.push(`--header ${quote(clean.trim() ? `${name}: ${clean}` : `${name};`)}`);
  }
  if (data) lines.push(data);
  return lines.join(" \\\n  ");
}

function bodyWords(request) {
  const none = { data: "", pipe: "" };
  if (request.body === undefined || (request.body === null && request.transfer_encoding !== "json")) return none;
  if (request.transfer_encoding !== "base64") return { data: `--data-raw ${quote(write(request.body, 0))}`, pipe: "" };
  const bytes = decode(request.body);
  if (!bytes?.length) return none;
  const text = asText(bytes);
  // asText leaves out a character that was cut; only what comes back whole may stand as text.
  if (text !== null && new TextEncoder().encode(text).length === bytes.length) {
    return { data: `--data-raw ${quote(text)}`, pipe: "" };
  }
  return { data: "--data-binary @-", pipe: `printf %s ${quote(String(request.body).replace(/\s+/g, ""))} | base64 -d | ` };
}
