"""The benchmarks run. What they measure is for people to read: nothing here looks at a number of microseconds."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from benchmarks import report
from benchmarks.contestants import CONTESTANTS
from benchmarks.environments import at_hand
from benchmarks.protocols import requests_in, unpacked
from benchmarks.results import Machine, Result, Results
from benchmarks.svg import draw
from benchmarks.tables import cost, delivered

ROOT = Path(__file__).parent.parent
MACHINE = Machine(cpu="a processor", cores=2, python="3.11", system="Linux", load=0.1, at="2026-01-01T00:00:00+00:00")


def run(out: Path, *only: str) -> dict[str, dict[str, Any]]:
    """Measure quickly with this Python; return the figures by the rows' names."""
    choice = [argument for part in only for argument in ("--only", part)]
    command = [sys.executable, "-m", "benchmarks", "run", "--quick", "--here", "--out", str(out), *choice]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    return {" ".join(row.key): row.figures for row in Results.read(out)}


def row(**figures: Any) -> Result:
    """Return a row of a contestant."""
    return Result("overhead", "ASGI", "b", "Sentry", {"path": 1.0, "cpu": 2.0, **figures}, {}, MACHINE)


@pytest.mark.heavy
def test_a_contestant_delivers_what_it_was_measured_with(tmp_path: Path) -> None:
    """One that loses events is cheap and out of the question."""
    found = run(tmp_path, "overhead ASGI a captures", "overhead WSGI a moesif-middleware", "overhead Django a moesif-")
    assert len(found) == 3
    assert {name: figures["delivered"] - figures["sent"] for name, figures in found.items()} == dict.fromkeys(found, 0)
    assert "**moesif-middleware**" in (tmp_path / report.PAGE).read_text()


@pytest.mark.heavy
def test_growth_is_drawn(tmp_path: Path) -> None:
    """One chart with two lines for each axis."""
    assert len(run(tmp_path, "growth ASGI concurrency")) == 3
    lines = ElementTree.parse(tmp_path / report.GROWTH).getroot().iter("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.get("points", "").split()) for line in lines] == [3, 3]


@pytest.mark.heavy
def test_memory_is_measured_with_the_collector_in_each_state(tmp_path: Path) -> None:
    """Up and hanging; all events arrive when it is up."""
    found = run(tmp_path, "memory ASGI up moesif-middleware", "memory ASGI hanging moesif-middleware")
    assert {name.split()[2] for name in found} == {"up", "hanging"}
    assert delivered(Result("memory", "ASGI", "up", "x", found["memory ASGI up moesif-middleware"])) == "100 %"


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["ASGI", "Django"])
def test_a_stream_comes_through_a_server_as_it_is_made(kind: str, tmp_path: Path) -> None:
    """The first byte comes before the pause, the last one after it."""
    (figures,) = run(tmp_path, f"stream {kind} stream moesif-middleware").values()
    assert figures["first_byte"] < 1000 < figures["last_byte"]
    assert figures["status"] == 200


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["ASGI", "WSGI"])
def test_a_loaded_server_delivers_all_events_at_its_end(kind: str, tmp_path: Path) -> None:
    """uvicorn for ASGI, gunicorn for WSGI."""
    (figures,) = run(tmp_path, f"served {kind} b moesif-middleware").values()
    assert "failed" not in figures, figures["failed"]
    assert figures["failures"] == 0
    assert figures["delivered"] == figures["sent"] > 0


@pytest.mark.heavy
def test_what_fails_is_in_the_results_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row without figures, which the page lists."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (figures,) = run(tmp_path, "served WSGI b bare").values()
    assert figures == {"failed": "wrk is not installed: apt-get install wrk"}
    assert "served, WSGI b, bare: wrk is not installed" in (tmp_path / report.PAGE).read_text()


def test_only_requests_count_among_the_spans_of_otlp() -> None:
    """A server's span is a request; those inside it are not."""
    spans = [Span(name="GET", kind=Span.SPAN_KIND_SERVER), Span(name="send", kind=Span.SPAN_KIND_INTERNAL)]
    scopes = [ScopeSpans(spans=spans, schema_url="https://example.com"), ScopeSpans(spans=spans[:1])]
    export = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=scopes)])
    assert requests_in("/v1/traces", export.SerializeToString()) == 2
    assert requests_in("/v1/metrics", export.SerializeToString()) == 0


def test_only_transactions_count_among_the_items_of_an_envelope() -> None:
    """With and without the length of an item."""
    payload = b'{"a": "\n{}\n"}'
    transaction = b'{"type":"transaction","length":%d}\n%b\n' % (len(payload), payload)
    others = b'{"type":"client_report"}\n{"b": 1}\n{"type":"transaction"}\n{"c": 1}'
    assert requests_in("/api/1/envelope/", b'{"dsn":"x"}\n' + transaction + others) == 2


def test_events_count_one_by_one_and_in_batches() -> None:
    """Of Moesif's and of Elastic's, packed or not."""
    assert requests_in("/v1/events/batch", unpacked(gzip.compress(b"[{}, {}]"), "gzip")) == 2
    assert requests_in("/v1/events", b"{}") == 1
    assert requests_in("/intake/v2/events", b'{"metadata":{}}\n{"transaction":{}}\n{"span":{}}\n') == 1


def test_a_contestant_that_delivers_nothing_is_out() -> None:
    """However little it costs; and the share of what arrived is never rounded up to all."""
    assert cost(row(sent=1000, delivered=0)) == "out: delivered nothing"
    assert cost(row(sent=10_000, delivered=9_999)) == "1 / 2 (99.9 % arrived)"
    assert cost(row(sent=1000, delivered=1000)) == "1 / 2"


def test_a_part_takes_the_place_of_its_own_rows_only(tmp_path: Path) -> None:
    """Results of several runs are in one file."""
    first = Results([row(sent=1, delivered=1), Result("import", "ASGI", "", "Sentry", {"cpu": 3.0}, {}, MACHINE)])
    first.write(tmp_path)
    second = Results.read(tmp_path)
    second.add(row(sent=2, delivered=2))
    second.write(tmp_path)
    assert {each.measure: each.figures for each in Results.read(tmp_path)} == {
        "overhead": {"path": 1.0, "cpu": 2.0, "sent": 2, "delivered": 2},
        "import": {"cpu": 3.0},
    }


def test_without_environments_those_that_are_not_installed_are_left_out() -> None:
    """No test installs anything."""
    assert at_hand(CONTESTANTS["moesif-middleware"]) is not None
    assert at_hand(CONTESTANTS["moesifasgi"]) is None


def test_the_readme_and_the_page_are_made_of_the_committed_results() -> None:
    """Nobody types a number: ``python -m benchmarks report`` writes them."""
    results = Results.read(report.OUT)
    readme = report.README.read_text()
    assert report.with_summary(readme, results) == readme
    assert (report.OUT / report.PAGE).read_text() == report.page(results)
    assert (report.OUT / report.OVERHEAD).read_text() == draw(report.overhead_charts(results))
    assert (report.OUT / report.GROWTH).read_text() == draw(report.growth_charts(results))
    assert "moesif-middleware" in report.summary(results)
