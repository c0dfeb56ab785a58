"""Users, companies and subscriptions: upserts that merge recursively."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from moesif_middleware.collector.merge import merged
from moesif_middleware.collector.routes import entities

from .conftest import APP, Running


@pytest.mark.parametrize(
    ("stored", "update", "result"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 2}),
        ({"m": {"x": {"y": 1, "z": 2}}}, {"m": {"x": {"y": 3}, "w": 4}}, {"m": {"x": {"y": 3, "z": 2}, "w": 4}}),
        ({"m": {"x": 1}}, {"m": 5}, {"m": 5}),
        ({"m": 5}, {"m": {"x": 1}}, {"m": {"x": 1}}),
        ({"m": [1, 2]}, {"m": [3]}, {"m": [3]}),
        ({"m": {"x": 1}}, {"m": {"x": None}}, {"m": {"x": None}}),
        ({}, {"session_token": "a"}, {"session_token": ["a"]}),
        ({"session_token": ["a"]}, {"session_token": "b"}, {"session_token": ["a", "b"]}),
        ({"session_token": ["a", "b"]}, {"session_token": ["a", "c"]}, {"session_token": ["a", "b", "c"]}),
        ({"session_token": ["a"]}, {"session_token": None}, {"session_token": ["a"]}),
        ({"session_token": ["a"]}, {"x": 1}, {"session_token": ["a"], "x": 1}),
    ],
)
def test_updates_merge_recursively(stored: dict[str, Any], update: dict[str, Any], result: dict[str, Any]) -> None:
    """Objects merge, all else replaces, session tokens are kept; the arguments stay as they were."""
    before = repr((stored, update))
    assert merged(stored, update) == result
    assert repr((stored, update)) == before


@pytest.mark.parametrize(
    ("kind", "first", "second", "result"),
    [
        (
            "users",
            {"user_id": "1", "session_token": "t1", "metadata": {"email": "a@b.c", "sales": {"stage": "Lead", "n": 1}}},
            {"user_id": "1", "session_token": "t2", "metadata": {"sales": {"stage": "Customer"}}},
            {
                "user_id": "1",
                "session_token": ["t1", "t2"],
                "metadata": {"email": "a@b.c", "sales": {"stage": "Customer", "n": 1}},
            },
        ),
        (
            "companies",
            {"company_id": "1", "company_domain": "a.example", "campaign": {"utm_source": "x"}},
            {"company_id": "1", "campaign": {"utm_medium": "y"}},
            {"company_id": "1", "company_domain": "a.example", "campaign": {"utm_source": "x", "utm_medium": "y"}},
        ),
        (
            "subscriptions",
            {"subscription_id": "1", "company_id": "c", "status": "active", "metadata": {"quota": {"limit": 1}}},
            {"subscription_id": "1", "company_id": "c", "status": "paused", "metadata": {"quota": {"period": "Y"}}},
            {
                "subscription_id": "1",
                "company_id": "c",
                "status": "paused",
                "metadata": {"quota": {"limit": 1, "period": "Y"}},
            },
        ),
    ],
)
@pytest.mark.parametrize("shape", ["one by one", "one batch"])
def test_an_upsert_creates_then_merges(
    fresh: Running, kind: str, first: dict[str, Any], second: dict[str, Any], result: dict[str, Any], shape: str
) -> None:
    """The same by single calls and within one batch; the server sets the time of the change."""
    if shape == "one batch":
        assert fresh.collector.post(f"/v1/{kind}/batch", json=[first, second]).status_code == 201
    else:
        for update in (first, second):
            assert fresh.collector.post(f"/v1/{kind}", json=update).status_code == 201
    stored = fresh.store.get(fresh.app, kind, "1") or {}
    assert stored.pop("modified_time").endswith("Z")
    assert stored == result


def test_concurrent_upserts_lose_nothing(fresh: Running) -> None:
    """Reading, merging and writing is one step."""
    with ThreadPoolExecutor(8) as pool:
        updates = [{"user_id": "u", "metadata": {f"k{number}": number}} for number in range(64)]
        answers = pool.map(lambda update: fresh.collector.post("/v1/users", json=update).status_code, updates)
        assert set(answers) == {201}
    assert (fresh.store.get(fresh.app, "users", "u") or {})["metadata"] == {
        f"k{number}": number for number in range(64)
    }


@pytest.mark.parametrize(
    ("client", "path"), [("collector", "/v1/users/batch"), ("management", "/v1/search/~/users/batch")]
)
def test_a_large_batch_holds_up_nobody(
    running: Running, monkeypatch: pytest.MonkeyPatch, client: str, path: str
) -> None:
    """While one is checked, which takes a second for 20 000 users, other calls are answered."""
    answered, upserts = threading.Event(), entities.upserts

    def slow(*arguments: Any) -> dict[str, dict[str, Any]]:
        assert answered.wait(10)
        return upserts(*arguments)

    monkeypatch.setattr(entities, "upserts", slow)
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(getattr(running, client).post, path, json=[{"user_id": "u"}])
        assert running.anonymous.get("/openapi.json", timeout=5).status_code == 200
        answered.set()
        assert posted.result().status_code in (200, 201)
    assert running.store.get(APP, "users", "u") is not None
