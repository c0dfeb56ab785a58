"""``moesif-middleware rules explain``, run as a person runs it."""

import base64

import orjson
import pytest

from moesif_middleware.cli import main
from tests.reference import RULES

# The example answers of the reference, "Get Config" and "Get Rules", with one user in the cohort.
RULE = orjson.loads(RULES)[0]
CONFIG = {
    "sample_rate": 100,
    "user_sample_rate": {},
    "company_sample_rate": {},
    "user_rules": {"u1": [{"rules": RULE["_id"], "values": {"0": "Free", "1": "1000"}}]},
    "company_rules": {},
    "regex_config": [{"conditions": [{"path": "request.route", "value": "/health/.*"}], "sample_rate": 0}],
}
REQUEST = {"verb": "GET", "uri": "https://api.example.com/health/db?full=1", "user_id": "u1"}


@pytest.fixture
def run(tmp_path, capsys):
    """Return a function that writes the three files, runs the command and returns status, output and errors."""

    def run(request, *options, rules=(RULE,), config=CONFIG):
        arguments = ["rules", "explain"]
        for name, document in (("rules", rules), ("config", config), ("request", request)):
            path = tmp_path / f"{name}.json"
            path.write_bytes(document if isinstance(document, bytes) else orjson.dumps(document))
            arguments += [f"--{name}", str(path)]
        status = main([*arguments, *options])
        return status, *capsys.readouterr()

    return run


def test_the_examples_of_the_reference_are_explained(run):
    status, out, err = run(REQUEST)
    assert (status, err) == (0, "")
    assert "APPLIES: user u1 is in the rule's cohort, and it has no conditions" in out
    assert "adds X-Rate-Limit-Month: 1000" in out
    assert "decision: BLOCK with 429, by rule 64ca685a833073c6b41b15f3" in out
    assert "You exceeded your monthly quota of 1000 for the Free plan. Please upgrade your plan." in out
    assert "request.route = '/health/db' matches '/health/.*'" in out
    assert "sampling: 0 % (regex 0 %, default 100 %), weight 1; before the application runs: 0 %" in out


def test_json_is_printed_when_asked_for(run):
    status, out, _ = run(REQUEST, "--json")
    document = orjson.loads(out)
    assert status == 0
    assert document["decision"]["blocked"] is True
    assert document["sampling"]["rate"] == 0
    assert document["rules"][0]["headers"] == [["X-Rate-Limit-Month", "1000"]]


@pytest.mark.parametrize(
    ("request_", "path", "pattern", "applied"),
    [
        ({"verb": "POST"}, "request.verb", "^post$", True),
        ({"uri": "/a%20b?c"}, "request.route", "^/a b$", True),
        ({"route": "/x"}, "request.route", "^/x$", True),
        ({"headers": {"X-Tier": "gold"}}, "request.headers.x-tier", "gold", True),
        ({"headers": {"X-Tier": "é"}}, "request.headers.x-tier", "^é$", True),
        ({"ip_address": "192.0.2.1"}, "request.ip", "^192", True),
        ({"body": {"plan": "free"}}, "request.body.plan", "free", True),
        (
            {"body": base64.b64encode(b'{"plan":"free"}').decode(), "transfer_encoding": "base64"},
            "request.body.plan", "free", True,
        ),
        ({"body": "!", "transfer_encoding": "base64"}, "request.body.plan", "free", False),
        ({"body": "/w==", "transfer_encoding": "base64"}, "request.body.plan", "free", False),
        ({}, "request.route", "^/$", True),
        ({"headers": None, "verb": None, "uri": None}, "request.verb", "GET", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole_event", [False, True])
def test_a_request_is_read_alone_or_inside_an_event(run, request_, path, pattern, applied, whole_event):
    rule = {"_id": "r", "type": "regex", "regex_config": [{"conditions": [{"path": path, "value": pattern}]}]}
    document = {"request": request_, "response": {"status": 200}} if whole_event else request_
    _, out, _ = run(document, "--json", rules=[rule], config={})
    assert orjson.loads(out)["rules"][0]["applied"] is applied


def test_the_response_of_an_event_counts_for_the_rate(run):
    entry = {"conditions": [{"path": "response.status", "value": "^5"}], "sample_rate": 25}
    event = {"request": {"verb": "GET", "uri": "/"}, "response": {"status": 503}}
    _, out, _ = run(event, rules=[], config={"regex_config": [entry]})
    assert "sampling: 25 % (regex 25 %, default 100 %), weight 4; before the application runs: not certain" in out


def test_what_is_left_out_of_the_documents_is_said(run):
    _, out, _ = run(REQUEST, rules=[{"type": "user"}], config={"sample_rate": "much"})
    problems = [line for line in out.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 2
    assert "sample_rate" in problems[0]
    assert "_id" in problems[1]


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ({"request": b"{"}, "request: is not a JSON object"),
        ({"request": b"[]"}, "request: is not a JSON object"),
        ({"request": b"{}", "rules": b"{}"}, "rules: not a JSON array"),
        ({"request": b"{}", "config": b"[]"}, "config: not a JSON object; save the answer of GET /v1/config"),
        ({"request": {"headers": []}}, "headers: is list; write a JSON object"),
        ({"request": {"uri": 7}}, "uri: is int; write text"),
        ({"request": {"uri": "http://["}}, "uri: is no URI"),
        ({"request": {"verb": {}}}, "verb: is dict; write text"),
        ({"request": {"user_id": []}}, "user_id: is list; write text"),
        ({"request": {"request": 5}}, "request: is int; write a JSON object"),
        ({"request": {"request": {"uri": 7}}}, "request.uri: is int; write text"),
        ({"request": {"response": {"status": "200"}, "request": {}}}, "response.status: is str; write a whole number"),
        ({"request": {"header": {}}}, "header: is not read; write headers"),
        ({"request": {"userid": "u1"}}, "userid: is not read; write user_id"),
        ({"request": {"request": {"ip_adress": "10.0.0.1"}}}, "request.ip_adress: is not read; write ip_address"),
    ],
)
def test_a_document_that_cannot_be_used_is_named(run, documents, said):
    status, _, err = run(**documents)
    assert status == 2
    assert said in err


def test_a_missing_file_is_named(tmp_path, capsys):
    assert main(["rules", "explain", "--request", str(tmp_path / "none.json")]) == 2
    assert "request: cannot read" in capsys.readouterr().err


def test_rules_and_config_may_be_left_out(tmp_path, capsys):
    path = tmp_path / "request.json"
    path.write_bytes(b"{}")
    assert main(["rules", "explain", "--request", str(path)]) == 0
    assert "decision: allow" in capsys.readouterr().out
