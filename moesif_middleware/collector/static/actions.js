// What can be done with all events that pass the filter: take them along, or delete them.

import { archive, send } from "./api.js";
import { el } from "./dom.js";
import { count } from "./show.js";

/** Start the download of the newest events that pass the filter as a HAR file. */
export function exportArchive(query) {
  const link = el("a", { href: archive(query), download: "events.har" });
  document.body.append(link);
  link.click();
  link.remove();
}

/** Ask, then delete step by step; `onDone` is called when something was deleted. */
export function deleteMatching(dialog, query, onDone) {
  let going = false;
  const said = el("p", { role: "status" });
  const go = el("button", { type: "button", id: "delete-go", class: "danger" }, "Delete them");
  const stop = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const what = query.q
    ? ["All stored events of this application that match ", el("code", {}, query.q), " are deleted. This cannot be undone."]
    : ["Type a filter first: it says which events are deleted."];
  go.disabled = !query.q;
  go.addEventListener("click", async () => {
    go.disabled = true;
    going = true;
    let deleted = 0;
    try {
      for (let more = true; more && going;) {
        const found = await send("DELETE", "events", query);
        deleted += found.deleted;
        more = found.more && found.deleted > 0;
        said.textContent = `${count(deleted)} deleted`;
      }
      stop.textContent = "Close";
    } catch (error) {
      said.textContent = `${error.message} ${count(deleted)} were deleted before.`;
    }
    if (deleted) onDone();
  });
  dialog.replaceChildren(el("h2", { id: "dialog-title" }, "Delete events"), el("p", {}, what), said, el("div", { class: "bar" }, go, stop));
  // Escape closes it too, and then nothing more is deleted.
  dialog.addEventListener("close", () => { going = false; }, { once: true });
  dialog.showModal();
  // A second Enter must not be the answer to a question that nobody has read.
  stop.focus();
}
