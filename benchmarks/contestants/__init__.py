"""Who is measured: this package's middleware, the vendor's, others that watch requests, a floor, and nothing at all.

A contestant is a class. Its modules import nothing of the product before one is made, so that each can run in an
environment of its own while the classes can be read by anybody.
"""

from __future__ import annotations

from .apitally import Apitally
from .bare import Bare
from .base import Contestant
from .elastic import Elastic
from .floor import Floor
from .opentelemetry import OpenTelemetry
from .ours import Ours
from .sentry import Sentry
from .vendor import MoesifAsgi, MoesifDjango, MoesifWsgi

__all__ = ["CONTESTANTS", "Bare", "Contestant", "Floor", "MoesifAsgi", "MoesifDjango", "MoesifWsgi", "Ours"]

CONTESTANTS: dict[str, type[Contestant]] = {
    contestant.name: contestant
    for contestant in (
        Bare, Ours, Floor, MoesifAsgi, MoesifWsgi, MoesifDjango, Apitally, Sentry, OpenTelemetry, Elastic
    )
}  # fmt: skip
"""All of them by name, in the order of the tables."""
