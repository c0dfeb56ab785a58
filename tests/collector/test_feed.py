"""Config and rules: what is served, the tags on every answer, and 304."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from moesif_middleware.collector.feed import CHECK_SECONDS, CONFIG_TAG, RULES_TAG, Feeds, Served
from moesif_middleware.collector.stores import StoreUnavailable

from .conftest import APP, KEY, OTHER_APP, Running, action, event

RULE = {"name": "Over quota", "type": "user", "state": 1, "block": True}


def _tags(running: Running) -> tuple[str, str]:
    answer = running.collector.get("/v1/config")
    return answer.headers[CONFIG_TAG], answer.headers[RULES_TAG]


def test_config_starts_as_all_events_and_no_rules(running: Running) -> None:
    """Every key of the reference's example is there."""
    assert running.collector.get("/v1/config").json() == {
        "sample_rate": 100,
        "user_sample_rate": {},
        "company_sample_rate": {},
        "user_rules": {},
        "company_rules": {},
        "regex_config": [],
    }
    assert running.collector.get("/v1/rules").json() == []


def test_both_tags_are_on_every_answer_to_a_client(running: Running) -> None:
    """Events, actions and upserts carry the tags that config and rules have now."""
    tags = _tags(running)
    answers = [
        running.collector.post("/v1/events", json=event()),
        running.collector.post("/v1/events/batch", json=[]),
        running.collector.post("/v1/actions", json=action()),
        running.collector.post("/v1/users", json={"user_id": "u"}),
        running.collector.get("/v1/rules"),
    ]
    assert {(answer.headers[CONFIG_TAG], answer.headers[RULES_TAG]) for answer in answers} == {tags}


def test_one_thread_builds_what_many_ask_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config of many members is worth waiting for, not building it for each request that comes meanwhile."""
    feeds, built = Feeds(running.store), []
    build = feeds._build

    def counted(app: str, version: tuple[object, ...]) -> Served:
        built.append(app)
        return build(app, version)

    monkeypatch.setattr(feeds, "_build", counted)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: feeds.current(running.app), range(64)))
    assert built == [running.app]
    assert set(map(id, found)) == {id(found[0])}


@pytest.mark.parametrize("path", ["config", "rules"])
def test_a_known_tag_is_answered_304(running: Running, path: str) -> None:
    """Quoted, weak, bare as the tag header has it, and in a list; another tag gets the whole."""
    first = running.collector.get(f"/v1/{path}")
    tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", tag.strip('"'), f'"other", {tag}', "*"):
        answer = running.collector.get(f"/v1/{path}", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
        assert answer.headers[CONFIG_TAG] == first.headers[CONFIG_TAG]
    assert running.collector.get(f"/v1/{path}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_new_rule_is_served_at_once_and_changes_its_tag(running: Running) -> None:
    """The next event answer already carries the new tag."""
    before = _tags(running)
    made = running.management.post("/v1/~/governance/rules", json=RULE).json()
    answer = running.collector.post("/v1/events", json=event())
    assert answer.headers[CONFIG_TAG] == before[0]
    assert answer.headers[RULES_TAG] != before[1]
    assert running.collector.get("/v1/rules").json() == [made]
    running.management.delete(f"/v1/~/governance/rules/{made['_id']}")
    after = _tags(running)
    # A client that remembers two tags would not fetch again if the tag of before came back.
    assert after[0] == before[0]
    assert after[1] not in {before[1], answer.headers[RULES_TAG]}


def test_rules_are_served_by_priority_then_age(running: Running) -> None:
    """List order decides which rule is applied last, so it is stable."""
    for name, priority in (("third", 2), ("first", 0), ("second", 1)):
        running.management.post("/v1/~/governance/rules", json={**RULE, "name": name, "priority": priority})
    running.management.post("/v1/~/governance/rules", json={**RULE, "name": "after first"})
    names = [rule["name"] for rule in running.collector.get("/v1/rules").json()]
    assert names == ["first", "after first", "second", "third"]


def test_config_is_replaced_and_merged(running: Running) -> None:
    """PUT replaces, PATCH merges; both change the config's tag and leave the rules' one."""
    before = _tags(running)
    membership = {"u1": [{"rules": "r1", "values": {"0": "Free"}}]}
    answer = running.management.put("/v1/config", json={"sample_rate": 50, "user_rules": membership})
    assert answer.status_code == 200
    answer = running.management.patch("/v1/config", json={"user_rules": {"u2": []}, "user_sample_rate": {"u1": 0.5}})
    served = running.collector.get("/v1/config").json()
    assert served == answer.json()
    assert served["user_rules"] == {**membership, "u2": []}
    assert (served["sample_rate"], served["user_sample_rate"]) == (50, {"u1": 0.5})
    after = _tags(running)
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    running.management.put("/api/v1/config", json={})
    assert _tags(running)[0] not in {before[0], after[0]}


def test_config_of_one_application_is_not_another_s(running: Running) -> None:
    """``app_id`` chooses; an unknown one is 404."""
    assert running.management.put(f"/v1/config?app_id={OTHER_APP}", json={"sample_rate": 1}).status_code == 200
    assert running.collector.get("/v1/config").json()["sample_rate"] == 100
    assert running.management.put("/v1/config?app_id=nobody", json={}).status_code == 404


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ([], "body: must be an object"),
        ({"sample_rate": 101}, "sample_rate: must be a number from 0 to 100"),
        ({"sample_rate": "5"}, "sample_rate: must be a number from 0 to 100"),
        ({"user_sample_rate": {"u": -1}}, "user_sample_rate.u: must be a number from 0 to 100"),
        ({"user_rules": {"u": {}}}, "user_rules.u: must be an array"),
        ({"company_rules": {"c": [{}]}}, "company_rules.c[0].rules: is required"),
        ({"user_rules": {"u": [{"rules": "r", "values": {"0": 1}}]}}, "user_rules.u[0].values.0: must be a string"),
        ({"regex_config": [{"conditions": []}]}, "regex_config[0].sample_rate: is required"),
        (
            {"regex_config": [{"conditions": [{"path": "request.verb"}], "sample_rate": 1}]},
            "regex_config[0].conditions[0].value: is required",
        ),
    ],
)
def test_a_bad_config_is_refused_with_the_field_s_path(running: Running, config: Any, sentence: str) -> None:
    """Nothing of it is served."""
    before = _tags(running)
    answer = running.management.put("/v1/config", json=config)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})
    assert _tags(running) == before


def test_config_is_edited_with_a_management_key_only(running: Running) -> None:
    """The application id reads; it does not write."""
    assert running.collector.put("/v1/config", json={}).status_code == 401
    headers = {"Authorization": f"bearer {KEY}"}
    assert running.anonymous.put("/v1/config", json={}, headers=headers).status_code == 200


def test_a_store_that_hangs_holds_up_one_request_for_the_config(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are served what was known: a store may take a minute to fail, clients wait ten seconds."""
    now = [0.0]
    feeds = Feeds(running.store, clock=lambda: now[0])
    known = feeds.current(running.app)
    now[0] = 2 * CHECK_SECONDS
    asked, answers = threading.Event(), threading.Event()

    def hanging(app: str, kind: str) -> object:
        asked.set()
        answers.wait(10)
        raise StoreUnavailable("it does not answer")

    monkeypatch.setattr(running.store, "version", hanging)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(feeds.current, running.app)
        assert asked.wait(10)
        try:
            assert pool.submit(feeds.current, running.app).result(timeout=5) is known
        finally:
            answers.set()
        assert first.result(timeout=10) is known


def test_a_store_that_is_away_does_not_take_the_config_with_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was served last is served on, and looked up again when the store is back."""
    moments = iter([0.0, 10.0, 20.0])
    feeds = Feeds(running.store, lambda: next(moments))
    before = feeds.current(APP)

    def away(app: str, kind: str) -> object:
        raise StoreUnavailable("gone for a moment")

    with monkeypatch.context() as during:
        during.setattr(running.store, "version", away)
        assert feeds.current(APP) is before
    running.store.put(APP, "rules", {"r": {"_id": "r"}}).result()
    assert feeds.current(APP).rules_tag != before.rules_tag
