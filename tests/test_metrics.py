"""Metrics: Prometheus and OpenTelemetry show what ``stats()`` says, and need nothing until they are asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from moesif_middleware import ConfigurationError, Moesif
from moesif_middleware.metrics import SERIES, register_opentelemetry, register_prometheus
from tests.exchanges import submit
from tests.faults import FaultServer, Reply


@pytest.fixture
def moesif() -> Iterator[Moesif]:
    """A handle that has delivered three events and lost two, with an update in the queue."""
    with FaultServer().start() as server:
        made = Moesif(application_id="test-app", base_uri=server.url, flush_interval=60.0)
        submit(made, 3)
        assert made.flush(20)
        server.script = lambda request: Reply(400)
        submit(made, 2)
        assert made.flush(20)
        made.update_user({"user_id": "u"})
        yield made
        server.script = lambda request: Reply()
        made.close(5)


EXPECTED = {
    ("moesif_captured", ("events",)): 5,
    ("moesif_captured", ("updates",)): 1,
    ("moesif_settled", ("events", "delivered", "")): 3,
    ("moesif_settled", ("events", "dropped", "rejected_400")): 2,
    ("moesif_settled", ("events", "sampled_out", "")): 0,
    ("moesif_waiting", ("events", "queued")): 0,
    ("moesif_waiting", ("events", "spooled")): 0,
    ("moesif_waiting", ("updates", "queued")): 1,
    ("moesif_collector_healthy", ()): 1,
}


def test_prometheus_scrapes_the_ledger(moesif: Moesif) -> None:
    """In the text that a scrape returns: counters end in _total."""
    registry = CollectorRegistry()
    register_prometheus(moesif, registry)
    text = generate_latest(registry).decode()
    for (name, values), number in EXPECTED.items():
        series = next(series for series in SERIES if series.name == name)
        labels = ",".join(f'{label}="{value}"' for label, value in sorted(zip(series.labels, values, strict=True)))
        shown = f"{name}{'_total' if series.counts else ''}{f'{{{labels}}}' if labels else ''} {float(number)}"
        assert shown in text.splitlines()


def test_a_scrape_is_of_that_moment(moesif: Moesif) -> None:
    """Nothing is copied when it is registered."""
    registry = CollectorRegistry()
    register_prometheus(moesif, registry)
    submit(moesif, 2)
    assert registry.get_sample_value("moesif_captured_total", {"kind": "events"}) == 7


def test_opentelemetry_observes_the_ledger(moesif: Moesif) -> None:
    """The same numbers, under names with a dot."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    register_opentelemetry(moesif, provider)
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        (metric.name, tuple(sorted((point.attributes or {}).values()))): point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    provider.shutdown()
    wanted = {(name.replace("_", ".", 1), tuple(sorted(values))): number for (name, values), number in EXPECTED.items()}
    assert {key: found.get(key) for key in wanted} == wanted


@pytest.mark.parametrize("register", [register_prometheus, register_opentelemetry])
def test_without_the_package_it_says_which_one(
    moesif: Moesif, register: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both packages are optional."""
    for name in ("prometheus_client", "opentelemetry.metrics"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match="pip install"):
        register(moesif)  # type: ignore[operator]


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    """The module costs nothing where it is not used."""
    code = "import sys, moesif_middleware.metrics; print([n for n in sys.modules if n.startswith(('prom', 'opentel'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
