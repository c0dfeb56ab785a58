"""The collector's clock: one function, given when the application is made, by which all times are told."""

from __future__ import annotations

import ast
import time
from datetime import UTC, datetime
from pathlib import Path

import moesif_middleware.collector

from .conftest import APP, event, serving, settings

PACKAGE = Path(moesif_middleware.collector.__file__).parent


def test_nothing_reads_another_clock() -> None:
    """``time.time`` is what a clock is by default; nobody calls it."""
    called = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.time", "datetime.now", "datetime.utcnow")
    ]
    assert called == []


def test_a_collector_lives_by_its_clock(tmp_path: Path) -> None:
    """Events are old, profiles are modified, periods and cohorts are told by the clock that it was given."""
    day = 86_400
    ahead = 400 * day

    def clock() -> float:
        return time.time() + ahead

    with serving(settings(tmp_path), clock) as running:
        refused = running.collector.post("/v1/events", json=event())
        assert (refused.status_code, "over 30 days in the past" in refused.text) == (400, True)
        then = datetime.fromtimestamp(clock() - 3600, UTC).isoformat()
        late = event(request={"time": then}, response={"time": then}, user_id="u")
        assert running.collector.post("/v1/events", json=late).status_code == 201
        count = running.management.post("/v1/search/~/count/events", params={"from": "-2h", "to": "now"}, json={})
        assert count.json() == {"count": 1}
        assert running.management.get("/_page/api/summary").json()["total"] == 0
        then = datetime.fromtimestamp(clock() - 1800, UTC).isoformat()
        running.collector.post("/v1/events", json=event(request={"time": then}, response={"time": then}))
        assert running.management.get("/_page/api/summary").json()["total"] == 1
        running.collector.post("/v1/users", json={"user_id": "u"})
        user = running.store.get(APP, "users", "u")
        assert user is not None
        assert abs(datetime.fromisoformat(user["modified_time"]).timestamp() - clock()) < 60
