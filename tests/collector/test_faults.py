"""The fault switch: each misbehaviour as a client meets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from moesif_middleware.collector.faults import Fault, FaultSwitch
from moesif_middleware.errors import ConfigurationError

from .conftest import Running, event


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("429:0.2", Fault("429", 0.2)),
        ("503", Fault("503", 1.0)),
        ("hang:0.05", Fault("hang", 0.05)),
        ("reset:1", Fault("reset", 1.0)),
    ],
)
def test_a_fault_is_a_kind_and_a_share(text: str, fault: Fault) -> None:
    """Without a share it is every call."""
    assert Fault.parse(text) == fault


@pytest.mark.parametrize("text", ["", "200", "600:1", "hang:2", "hang:-1", "hang:x", "hang:nan", "explode:0.1", "٤٢٩"])
def test_a_fault_that_is_not_one_is_refused(text: str) -> None:
    """The error names the option."""
    with pytest.raises(ConfigurationError, match="fault:"):
        Fault.parse(text)


@pytest.mark.parametrize(("drawn", "status"), [(0.0, 429), (0.19, 429), (0.2, 500), (0.49, 500), (0.5, 201)])
async def test_shares_add_up(drawn: float, status: int) -> None:
    """A fifth is 429, the next three tenths 500, the rest passes."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    switch = FaultSwitch(app, (Fault("429", 0.2), Fault("500", 0.3)), draw=lambda: drawn)
    await switch({"type": "http", "path": "/v1/events"}, receive, send)
    assert sent[0]["status"] == status


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"), [("429", 429, "1"), ("503", 503, "1"), ("500", 500, None), ("402", 402, None)]
)
def test_a_status_is_answered_and_nothing_stored(
    serve: Callable[..., Any], fault: str, status: int, retry_after: str | None
) -> None:
    """With Retry-After where the protocol has it."""
    with serve(faults=(Fault(fault, 1.0),)) as running:
        answer = running.collector.post("/v1/events", json=event())
        assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
        assert running.events() == []


def test_hang_reset_drip_and_garbage(serve: Callable[..., Any]) -> None:
    """What the client's transport sees of each."""
    with serve(faults=(Fault("hang", 1.0),)) as running, pytest.raises(httpx.ReadTimeout):
        running.collector.post("/v1/events", json=event(), timeout=0.3)
    with serve(faults=(Fault("reset", 1.0),)) as running, pytest.raises(httpx.RemoteProtocolError):
        running.collector.post("/v1/events", json=event())
    with serve(faults=(Fault("garbage", 1.0),)) as running:
        answer = running.collector.get("/v1/config")
        assert answer.status_code == 200
        with pytest.raises(ValueError):
            answer.json()
    with serve(faults=(Fault("drip", 1.0),)) as running, pytest.raises(httpx.ReadTimeout):
        running.collector.get("/v1/rules", timeout=0.2)


def test_latency_delays_calls_but_not_the_page(serve: Callable[..., Any]) -> None:
    """Only the API misbehaves."""
    running: Running
    with serve(latency=0.2, faults=(Fault("500", 1.0),)) as running:
        began = time.monotonic()
        assert running.collector.get("/v1/config").status_code == 500
        assert time.monotonic() - began >= 0.2
        assert running.anonymous.get("/nowhere").status_code == 404
