// A governance rule as a form. What the form has no field for stays in the rule as it is.

import { el } from "./dom.js";

const PATHS = ["request.verb", "request.route", "request.ip_address", "request.headers.user-agent", "request.body.operationName"];
const TYPES = { regex: "every request that matches", user: "users in its cohort", company: "companies in its cohort" };

export class RuleForm {
  constructor(rule) {
    this.rule = rule;
    this.groups = el("div", { class: "groups" });
    this.headers = el("div", { class: "header-rows" });
    this.name = input("text", rule.name ?? "", { id: "rule-name", required: true });
    this.type = choice({ ...TYPES }, rule.type ?? "regex", "rule-type");
    this.block = input("checkbox", "", { id: "rule-block" });
    this.block.checked = rule.block === true;
    this.appliedTo = choice({ matching: "those in the cohort", not_matching: "those not in it" }, rule.applied_to ?? "matching", "rule-applied-to");
    this.unidentified = input("checkbox", "", { id: "rule-unidentified" });
    this.unidentified.checked = rule.applied_to_unidentified === true;
    this.status = input("number", rule.response?.status ?? "", { id: "rule-status", min: "100", max: "599" });
    this.body = el("textarea", { id: "rule-body", rows: "5", spellcheck: "false" });
    if (rule.response?.body !== undefined) this.body.value = JSON.stringify(rule.response.body, null, 2);
    for (const group of rule.regex_config ?? []) this.addGroup(group);
    for (const [name, value] of Object.entries(rule.response?.headers ?? {})) this.addHeader(name, value);
    this.root = this.build();
    this.type.addEventListener("change", () => this.showWhom());
    this.showWhom();
  }

  build() {
    this.whom = el("div", { class: "line" }, label("For", this.appliedTo), el("label", {}, this.unidentified, " requests without an id too"));
    return el("form", { class: "rule-form", onsubmit: (event) => event.preventDefault() },
      el("datalist", { id: "rule-paths" }, PATHS.map((path) => el("option", { value: path }))),
      label("Name", this.name),
      label("Applies to", this.type),
      this.whom,
      el("fieldset", {}, el("legend", {}, "When"), el("p", { class: "dim" }, "One group is enough; all conditions of a group must match. Without a group it always applies."),
        this.groups, el("button", { type: "button", id: "add-group", onclick: () => this.addGroup({ conditions: [{ path: "request.verb", value: "" }] }) }, "Add a group")),
      el("fieldset", {}, el("legend", {}, "Then"),
        el("div", { class: "line" }, el("label", {}, this.block, " answer in the app's place"), label("Status", this.status)),
        el("p", { class: "dim" }, "Headers of the answer, also when the app answers"), this.headers,
        el("button", { type: "button", onclick: () => this.addHeader("", "") }, "Add a header"),
        label("Body (JSON; {{name}} is a variable's value)", this.body)));
  }

  showWhom() {
    this.whom.hidden = this.type.value === "regex";
  }

  addGroup(group) {
    const rows = el("div", { class: "condition-rows" });
    const add = (condition) => {
      const row = el("div", { class: "line condition" },
        input("text", condition.path, { list: "rule-paths", "aria-label": "Field", placeholder: "request.route" }), " matches ",
        input("text", condition.value, { "aria-label": "Regular expression", placeholder: "regular expression" }),
        el("button", { type: "button", class: "quiet", "aria-label": "Remove the condition", onclick: () => { row.remove(); if (!rows.children.length) node.remove(); } }, "✕"));
      rows.append(row);
    };
    const node = el("div", { class: "group" }, rows, el("button", { type: "button", class: "link", onclick: () => add({ path: "", value: "" }) }, "and …"));
    node.original = group;
    for (const condition of group.conditions ?? []) add(condition);
    this.groups.append(node);
  }

  addHeader(name, value) {
    const row = el("div", { class: "line header-row" }, input("text", name, { "aria-label": "Header", placeholder: "Retry-After" }), ": ",
      input("text", value, { "aria-label": "Value" }),
      el("button", { type: "button", class: "quiet", "aria-label": "Remove the header", onclick: () => row.remove() }, "✕"));
    this.headers.append(row);
  }

  /** Return the rule. Throws an Error with a sentence for a body that is no JSON. */
  read() {
    const rule = {
      ...this.rule,
      name: this.name.value.trim(),
      type: this.type.value,
      state: this.rule.state ?? 2,
      block: this.block.checked,
      applied_to: this.appliedTo.value,
      applied_to_unidentified: this.unidentified.checked,
      regex_config: [...this.groups.children].map((node) => ({ ...node.original, conditions: pairs(node.querySelectorAll(".condition")).map(([path, value]) => ({ path, value })) })),
    };
    if (!rule.name) throw new Error("it needs a name");
    rule.response = { ...this.rule.response, headers: Object.fromEntries(pairs(this.headers.children).filter(([name]) => name)) };
    if (this.status.value) rule.response.status = Number(this.status.value);
    else delete rule.response.status;
    if (this.body.value.trim()) rule.response.body = parsed(this.body.value);
    else delete rule.response.body;
    return rule;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`the body is not JSON (${error.message})`);
  }
}

function pairs(rows) {
  return [...rows].map((row) => [...row.querySelectorAll("input")].map((field) => field.value)).map(([one, two]) => [one.trim(), two]);
}

function input(type, value, attributes) {
  const node = el("input", { type, ...attributes });
  if (type !== "checkbox") node.value = value ?? "";
  return node;
}

function choice(options, value, id) {
  const node = el("select", { id }, Object.entries(options).map(([key, text]) => el("option", { value: key }, text)));
  node.value = value;
  return node;
}

function label(text, field) {
  return el("label", { class: "named" }, el("span", {}, text), field);
}
