"""Events that have everything a search may trip over, the same ones in every run."""

from __future__ import annotations

import random
from typing import Any

from moesif_middleware.collector.intake import Arrival, event_row
from moesif_middleware.collector.search.times import wire_millis
from moesif_middleware.collector.stores import EventRow

NOW = 1_730_800_000_000
"""2024-11-05T09:46:40Z: both the European and the American clocks changed in the weeks before."""

FIRST = NOW - 24 * 86_400_000

PLANS: list[Any] = [
    "free",
    "pro",
    "Pro plan",
    5,
    5.5,
    500,
    True,
    False,
    None,
    ["free", "eu"],
    ["a", 7, 7],
    [],
    {},
    "500",
]
PATHS = ["/items/{id}", "/items", "/orders/{id}/lines", "/héllo wörld", "/x_y-z", "", "/\u017fki/\u212a"]
AGENTS = ["Mozilla/5.0 (X11; Linux)", "curl/8.4", "python-httpx/0.27", "curl", "CURL/8", "\u017fafari", "Safari KIOSK"]


def event(draw: random.Random, number: int) -> dict[str, Any]:
    time_ms = draw.randrange(FIRST, NOW)
    route = draw.choice(PATHS)
    found: dict[str, Any] = {
        "transaction_id": f"event-{number:04d}",
        "request": {
            "time": wire_millis(time_ms),
            "uri": f"https://api.example.com{route}?page={number % 7}&q=a_b",
            "verb": draw.choice(["GET", "POST", "DELETE"]),
            "route": route,
            "ip_address": f"10.0.0.{draw.randrange(4)}",
            "headers": {draw.choice(["User-Agent", "user-agent", "USER-AGENT"]): draw.choice(AGENTS)},
            "body": body(draw),
        },
        "weight": draw.choice([1, 1, 1, 4, 10]),
        # Its name begins like another one.
        "metadata_": {"plan": draw.choice(PLANS)},
        "metadata": metadata(draw),
    }
    if draw.random() < 0.9:
        found["response"] = {
            "time": wire_millis(time_ms + draw.choice([0, 3, 12, 100, 250, 999, 4_000])),
            "status": draw.choice([200, 200, 201, 404, 429, 500]),
            "headers": {"X-Request-Id": str(number % 11), "Content-Type": "application/json"},
            "body": body(draw),
        }
    for name, values in (("user_id", ["u1", "u2", "U2", "42", "ü"]), ("company_id", ["acme", "globex", "(none)"])):
        if draw.random() < 0.8:
            found[name] = draw.choice(values)
    return found


def body(draw: random.Random) -> Any:
    return draw.choice(
        [
            None,
            "just text, with Words",
            [1, 2, 3],
            {"items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 2.5}, {"sku": draw.choice("abc")}]},
            {"items": {"sku": "c", "qty": draw.randrange(5)}, "error": {"code": "E_1", "message": "no such item"}},
            {"items": [[{"sku": "z"}], None, 3], "error": None},
        ]
    )


def metadata(draw: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("plan", "a.b", 'qu"ote', "it's", "back\\slash", "size", "when"):
        if draw.random() < 0.6:
            found[name] = draw.choice(PLANS)
    if "size" in found:
        found["size"] = draw.choice([-7.25, -1, 0, 0.1, 0.5, 3, 12, 1_000_000, [3, 4, 12], "12"])
    if "when" in found:
        found["when"] = draw.choice(["2024-10-26T23:30:00Z", "2024-11-03T01:30:00-04:00", "2024-11-01", "soon", 5])
    if draw.random() < 0.4:
        found["a"] = draw.choice([{"b": "nested"}, [{"b": 1}, {"b": [2, "x"]}], {"b": {"c": draw.choice(["d", 1])}}])
    return found


def rows(count: int = 160, seed: int = 7) -> list[EventRow]:
    """Return the rows of the events; the document of each is its ``doc``."""
    draw = random.Random(seed)
    arrival = Arrival(NOW, "127.0.0.1")
    return [event_row(event(draw, number), arrival) for number in range(count)]
