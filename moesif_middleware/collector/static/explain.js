// Why the rules decide as they do about one request: rule by rule, condition by condition.

import { el } from "./dom.js";

/** Return the nodes of an explanation, as the trial's answer has it. */
export function explanation(found) {
  const { decision } = found;
  const verdict = decision.blocked
    ? el("p", { class: "verdict blocks" }, "Blocked with ", el("strong", {}, String(decision.status)), ` by ${named(found, decision.rule_id)}`)
    : el("p", { class: "verdict allows" }, decision.rules.length ? "Let through; rules add to its answer" : "Let through; no rule applies");
  return [
    verdict,
    decision.headers.length ? el("pre", { class: "text" }, decision.headers.map(([name, value]) => `${name}: ${value}\n`).join("") + (decision.body ? `\n${decision.body}` : "")) : null,
    ...found.rules.map(ruleReport),
    found.problems.length ? el("ul", { class: "problems" }, found.problems.map((text) => el("li", {}, text))) : null,
    el("p", { class: "dim" }, sampling(found.sampling)),
  ].filter(Boolean);
}

function named(found, id) {
  return found.rules.find((rule) => rule.id === id)?.name || `rule ${id}`;
}

function ruleReport(rule) {
  return el("details", { class: "report", open: rule.applied },
    el("summary", {}, el("span", { class: rule.applied ? "mark-yes" : "mark-no" }, rule.applied ? "applies" : "does not apply"), " ",
      el("strong", {}, rule.name || rule.id), rule.block ? el("span", { class: "tag" }, "blocks") : null),
    el("p", { class: "dim" }, `${rule.reason}.`),
    rule.groups.map((group, index) => [
      index ? el("p", { class: "or" }, "or") : null,
      group.length ? el("ul", { class: "conditions" }, group.map(condition)) : el("p", { class: "dim" }, "A group without conditions matches nothing."),
    ]));
}

function condition(report) {
  return el("li", { class: report.matches ? "yes" : "no" },
    el("span", { class: report.matches ? "mark-yes" : "mark-no" }, report.matches ? "✓ " : "✗ "),
    el("code", {}, report.path), " is ", el("code", {}, report.value === null ? "missing" : report.value),
    report.matches ? " and matches " : " and does not match ", el("code", {}, report.pattern ?? ""),
    report.problem ? el("span", { class: "bad" }, ` (${report.problem})`) : null);
}

function sampling(report) {
  const sources = [["the user or company", report.entity_rate], ["a sampling rule", report.regex_rate], ["the default", report.sample_rate]]
    .filter(([, rate]) => rate !== null).map(([name, rate]) => `${name} says ${rate} %`);
  return `Sampling: ${report.rate} % of such requests are kept, each counts ${report.weight} (${sources.join(", ")}).`;
}
