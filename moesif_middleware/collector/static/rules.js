// The rules' view: governance rules in a form or as JSON, tried on recorded events before they are saved.

import { get, send } from "./api.js";
import { el } from "./dom.js";
import { explanation } from "./explain.js";
import { write } from "./json.js";
import { RuleForm } from "./ruleform.js";
import { count, pathOf } from "./show.js";
import { status } from "./table.js";

const NEW_RULE = {
  name: "", type: "regex", state: 2, block: true, applied_to: "matching", applied_to_unidentified: false,
  regex_config: [{ conditions: [{ path: "request.route", value: "^/" }] }],
  response: { status: 429, headers: {}, body: { error: "Too many requests" } },
};

export class Rules {
  /** `query()` gives application and filter; `on` has open(id), which shows an event. */
  constructor(root, query, on) {
    Object.assign(this, { root, query, on, rules: [], rule: null });
    this.list = el("ul", { class: "rule-list", "aria-label": "Rules" });
    this.pane = el("section", { class: "rule-pane", "aria-label": "Rule" });
    root.append(el("div", { class: "rule-side" }, el("header", {}, el("h2", {}, "Rules"), el("span", { class: "grow" }),
      el("button", { type: "button", id: "new-rule", onclick: () => this.edit(structuredClone(NEW_RULE)) }, "New rule")), this.list), this.pane);
  }

  async show() {
    const { app } = this.query();
    // What is being edited belongs to the application it came from.
    if (this.app && app && app !== this.app) this.rule = null;
    this.app = app || this.app;
    try {
      // Plain numbers: a rule is edited, not shown as it was captured.
      this.rules = JSON.parse(write(await get("rules", { app })));
      this.drawList();
      if (!this.rule) this.pane.replaceChildren(el("p", { class: "notice" }, this.rules.length
        ? "Choose a rule, or make a new one."
        : "No rules so far. A rule adds headers to answers, or answers in the app's place: quotas, blocked addresses, retired versions."));
    } catch (error) {
      this.list.replaceChildren(el("li", { class: "error" }, error.message));
    }
  }

  drawList() {
    this.list.replaceChildren(...this.rules.map((rule) => el("li", {}, el("button",
      { type: "button", "aria-current": this.rule?._id === rule._id ? "true" : null, onclick: () => this.edit(structuredClone(rule)) },
      el("strong", {}, rule.name || rule._id), el("span", { class: "dim" }, ` ${rule.type}`), rule.block ? el("span", { class: "tag" }, "blocks") : null))));
  }

  edit(rule) {
    this.rule = rule;
    this.said = el("p", { class: "said", role: "status" });
    this.result = el("div", { class: "trial", "aria-live": "polite" });
    this.holder = el("div", {});
    this.modes = ["Form", "JSON"].map((name) => el("button", { type: "button", class: "tab", onclick: () => this.switchTo(name) }, name));
    this.pane.replaceChildren(
      el("header", { class: "rule-head" }, el("h2", {}, rule._id ? rule.name || rule._id : "New rule"), el("span", { class: "grow" }),
        el("div", { class: "tabs", role: "group", "aria-label": "Rule as" }, this.modes)),
      this.holder,
      el("div", { class: "bar" },
        el("button", { type: "button", id: "save-rule", class: "primary", onclick: () => this.save() }, "Save"),
        el("button", { type: "button", id: "try-rule", onclick: () => this.tryOut() }, "Try on recorded events"),
        el("span", { class: "grow" }),
        rule._id ? this.deleteButton() : null),
      this.said, this.result);
    this.put("Form", rule);
    this.drawList();
    this.pane.querySelector("input")?.focus();
  }

  /** Show the rule as a form or as JSON. */
  put(mode, rule) {
    this.mode = mode;
    this.form = mode === "Form" ? new RuleForm(rule) : null;
    this.text = mode === "Form" ? null : el("textarea", { class: "rule-json", rows: "24", spellcheck: "false", "aria-label": "Rule as JSON" });
    if (this.text) this.text.value = write(rule);
    this.holder.replaceChildren(this.form?.root ?? this.text);
    for (const button of this.modes) button.setAttribute("aria-pressed", String(button.textContent === mode));
  }

  switchTo(mode) {
    const rule = mode === this.mode ? null : this.current();
    if (rule !== null) this.put(mode, rule);
  }

  /** Return the rule as it stands, or null after saying what is wrong. */
  current() {
    try {
      const rule = this.form ? this.form.read() : JSON.parse(this.text.value);
      if (rule === null || typeof rule !== "object" || Array.isArray(rule)) throw new SyntaxError("a rule is an object");
      this.say("");
      return rule;
    } catch (error) {
      this.say(`This is no rule: ${error.message}`, true);
      return null;
    }
  }

  say(text, wrong = false) {
    this.said.textContent = text;
    this.said.classList.toggle("bad", wrong);
  }

  async save() {
    const rule = this.current();
    if (rule === null) return;
    try {
      const path = this.rule._id ? `rules/${encodeURIComponent(this.rule._id)}` : "rules";
      const saved = JSON.parse(write(await send("POST", path, { app: this.query().app }, rule)));
      await this.show();
      this.edit(saved);
      this.say("Saved. Apps take it over with their next answer from this collector.");
    } catch (error) {
      this.say(error.message, true);
    }
  }

  deleteButton() {
    const button = el("button", { type: "button", id: "delete-rule" }, "Delete");
    button.addEventListener("click", async () => {
      // The second click is the answer to the question.
      if (!button.classList.contains("danger")) {
        button.classList.add("danger");
        button.textContent = "Really delete?";
        return;
      }
      try {
        await send("DELETE", `rules/${encodeURIComponent(this.rule._id)}`, { app: this.query().app });
        this.rule = null;
        await this.show();
      } catch (error) {
        this.say(error.message, true);
      }
    });
    return button;
  }

  async tryOut() {
    const rule = this.current();
    if (rule === null) return;
    this.say("Trying");
    try {
      const found = await send("POST", "trial", this.query(), { rule: { ...rule, _id: this.rule._id } });
      this.say("");
      this.result.replaceChildren(...this.shadow(found, rule));
    } catch (error) {
      this.say(error.message, true);
    }
  }

  shadow(found, rule) {
    const among = this.query().q ? ["that match ", el("code", {}, this.query().q), " "] : [];
    const what = found.applied === 0
      ? "the rule applies to none."
      : `the rule applies to ${count(found.applied)}; ${count(found.blocked)} would be blocked, ${count(found.newly_blocked)} of them are not blocked today.`;
    return [
      el("h3", {}, "In the shadow"),
      el("p", { id: "shadow-said" }, `Of the newest ${count(found.looked)} recorded calls `, among, what),
      found.problems.length ? el("ul", { class: "problems" }, found.problems.map((text) => el("li", {}, text))) : null,
      found.samples.length ? this.samples(found.samples, rule) : null,
      el("div", { class: "sample-explained" }),
    ].filter(Boolean);
  }

  samples(samples, rule) {
    const heads = ["Verb", "Path", "Was", "Becomes", "User", "Company", ""];
    return el("div", { class: "scroll", tabindex: "0" }, el("table", { class: "figures samples" },
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, samples.map((sample) => el("tr", {},
        el("td", {}, sample.verb), el("td", { class: "mono", title: sample.uri }, pathOf(sample.uri).path),
        el("td", {}, status(sample.was)), el("td", {}, status(sample.becomes)), el("td", {}, sample.user_id ?? ""), el("td", {}, sample.company_id ?? ""),
        el("td", {}, el("button", { type: "button", class: "link", onclick: () => this.explain(sample.id, rule) }, "Why"), " · ",
          el("button", { type: "button", class: "link", onclick: () => this.on.open(sample.id) }, "Show event")))))));
  }

  async explain(id, rule) {
    const place = this.result.querySelector(".sample-explained");
    try {
      const found = await send("POST", "trial", { app: this.query().app }, { rule: { ...rule, _id: this.rule._id }, event: id });
      place.replaceChildren(el("h3", {}, "Why"), ...explanation(found));
      place.scrollIntoView({ block: "nearest" });
    } catch (error) {
      place.replaceChildren(el("p", { class: "bad" }, error.message));
    }
  }
}
