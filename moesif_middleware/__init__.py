"""API monitoring, governance and a self-hosted collector for any ASGI or WSGI application.

>>> from moesif_middleware import Moesif
>>> moesif = Moesif(application_id="...", base_uri="http://127.0.0.1:9500")

The adapters are in modules of their own, so that nothing is imported that an application does not use:
``moesif_middleware.asgi``, ``.wsgi``, ``.flask``, ``.django``, ``.aiohttp``, ``.tornado``.
"""

from __future__ import annotations

from ._version import VERSION as __version__  # noqa: N811  # the name that tools look for
from .errors import ConfigurationError, InvalidModel, MoesifError
from .models import Action, Campaign, Company, Event, EventRequest, EventResponse, Subscription, User
from .runtime.client import Moesif
from .runtime.current import add_metadata, identify, note_exception, set_route, skip
from .runtime.sinks import CollectorSink, MemorySink, Sink
from .settings import DEFAULT_SKIP_PATHS, Hooks, Masking, Settings

__all__ = [
    "DEFAULT_SKIP_PATHS",
    "Action",
    "Campaign",
    "CollectorSink",
    "Company",
    "ConfigurationError",
    "Event",
    "EventRequest",
    "EventResponse",
    "Hooks",
    "InvalidModel",
    "Masking",
    "MemorySink",
    "Moesif",
    "MoesifError",
    "Settings",
    "Sink",
    "Subscription",
    "User",
    "__version__",
    "add_metadata",
    "identify",
    "note_exception",
    "set_route",
    "skip",
]
