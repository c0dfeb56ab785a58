"""The ledger as metrics: a collector for ``prometheus_client`` and instruments of OpenTelemetry, for who has them.

Both read ``Moesif.stats()`` when they are asked, so that nothing is counted twice and requests pay nothing. The numbers
are those of one process: under several workers each of them is to be asked, or pushes for itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError
from .runtime.client import Moesif

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

Sample = tuple[dict[str, str], float]
"""Labels and a value."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric: its name, what it means, and how it is read from ``stats()``."""

    name: str
    meaning: str
    read: Callable[[Mapping[str, Any]], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    counts: bool = True
    """Whether it only grows."""


def _ledgers(stats: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "events", stats
    yield "updates", stats["updates"]


def _captured(stats: Mapping[str, Any]) -> Iterator[Sample]:
    spool = stats["spool"]
    # What went from process to process through the spool is counted where it was captured, and never goes back.
    yield {"kind": "events"}, stats["captured"] - spool["adopted"] + spool["handed_over"]
    yield {"kind": "updates"}, stats["updates"]["captured"]


def _settled(stats: Mapping[str, Any]) -> Iterator[Sample]:
    for kind, ledger in _ledgers(stats):
        for state in ("delivered", "sampled_out", "skipped"):
            yield {"kind": kind, "state": state, "reason": ""}, ledger[state]
        for reason, count in ledger["dropped"].items():
            yield {"kind": kind, "state": "dropped", "reason": reason}, count


def _waiting(stats: Mapping[str, Any]) -> Iterator[Sample]:
    for kind, ledger in _ledgers(stats):
        for state in ("queued", "spooled"):
            yield {"kind": kind, "state": state}, ledger[state]


def _errors(stats: Mapping[str, Any]) -> Iterator[Sample]:
    for place, count in stats["errors"].items():
        yield {"place": place}, count


def _collector(name: str, stats: Mapping[str, Any]) -> Iterator[Sample]:
    yield {}, float(stats["collector"][name])


SERIES = (
    Series("moesif_captured", "Things captured in this process.", _captured, ("kind",)),
    Series(
        "moesif_settled", "Things delivered, sampled out, skipped, and dropped for a reason.", _settled,
        ("kind", "state", "reason"),
    ),
    Series("moesif_waiting", "Things in memory and in the spool now.", _waiting, ("kind", "state"), counts=False),
    Series("moesif_contained_errors", "Contained failures of hooks, rules and masks.", _errors, ("place",)),
    Series("moesif_config_fetches", "Looks at config and rules.", partial(_collector, "config_fetches")),
    Series("moesif_queued_bytes", "Bytes of memory that wait.", partial(_collector, "queued_bytes"), counts=False),
    Series("moesif_collector_healthy", "1 while it takes events.", partial(_collector, "healthy"), counts=False),
)  # fmt: skip


class _PrometheusCollector:
    """What ``prometheus_client`` asks for metrics."""

    def __init__(self, moesif: Moesif) -> None:
        self._moesif = moesif

    def describe(self) -> Iterable[Metric]:
        """Return no metrics: the names are known without a look at the numbers."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        core = importlib.import_module("prometheus_client.core")
        stats = self._moesif.stats()
        for series in SERIES:
            family = core.CounterMetricFamily if series.counts else core.GaugeMetricFamily
            metric = family(series.name, series.meaning, labels=series.labels)
            for labels, value in series.read(stats):
                metric.add_metric([labels[name] for name in series.labels], value)
            yield metric


def register_prometheus(moesif: Moesif, registry: CollectorRegistry | None = None) -> None:
    """Let ``registry`` (the package's own when None) show the ledger of ``moesif``, as often as it is scraped.

    Raises ConfigurationError without the package ``prometheus-client``.
    """
    client = _needed("prometheus_client", "prometheus-client")
    target = client.REGISTRY if registry is None else registry
    target.register(_PrometheusCollector(moesif))


def register_opentelemetry(moesif: Moesif, meter_provider: MeterProvider | None = None) -> None:
    """Make observable instruments of the ledger of ``moesif``, with ``meter_provider`` or the global one.

    Raises ConfigurationError without the package ``opentelemetry-api``.
    """
    metrics = _needed("opentelemetry.metrics", "opentelemetry-api")
    provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
    meter = provider.get_meter("moesif_middleware")
    for series in SERIES:
        make = meter.create_observable_counter if series.counts else meter.create_observable_gauge
        name = series.name.replace("_", ".", 1)
        make(name, callbacks=[partial(_observe, moesif, series)], description=series.meaning)


def _observe(moesif: Moesif, series: Series, _: CallbackOptions) -> Iterator[Observation]:
    observation = importlib.import_module("opentelemetry.metrics").Observation
    for labels, value in series.read(moesif.stats()):
        yield observation(value, labels)


def _needed(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigurationError("metrics", f"needs a package that is missing: pip install {package}") from None
