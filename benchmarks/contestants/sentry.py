"""Sentry's SDK, with a transaction for every request."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from .base import Contestant


class Sentry(Contestant):
    """Its Django integration reads request bodies; around a plain ASGI or WSGI application it reads none."""

    name = "Sentry"
    package = "sentry-sdk"
    requirements = ("sentry-sdk==2.75",)
    captures = "headers; under Django request bodies too (turned on)"
    imports: ClassVar[Mapping[str, str]] = {
        "ASGI": "import sentry_sdk.integrations.asgi",
        "WSGI": "import sentry_sdk.integrations.wsgi",
        "Django": "import sentry_sdk.integrations.django",
    }

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:
        super().__init__(kind, url, eager=eager)
        self._sdk = importlib.import_module("sentry_sdk")
        # A round of the eager comes faster than any server calls, and must not meet the bound of a hundred.
        room = {"transport_queue_size": 10_000} if eager else {}
        django = importlib.import_module("sentry_sdk.integrations.django").DjangoIntegration
        self._sdk.init(
            dsn=url.replace("http://", "http://key@") + "/1",
            traces_sample_rate=1.0,
            send_default_pii=True,
            max_request_body_size="always",
            auto_enabling_integrations=False,
            integrations=[django()] if kind == "Django" else [],
            **room,
        )

    def wrap(self, app: Any) -> Any:
        """Return the wrapped application."""
        module = importlib.import_module(f"sentry_sdk.integrations.{self._kind.lower()}")
        return getattr(module, f"Sentry{self._kind.title()}Middleware")(app)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take its client away: the handlers of Django that it patched then go straight on."""
        scope = self._sdk.get_global_scope()
        client = scope.client
        scope.set_client(None)
        try:
            yield
        finally:
            scope.set_client(client)

    def flush(self) -> None:
        """Wait until its queue is empty."""
        self._sdk.flush(60)

    def close(self) -> None:
        """Flush and end."""
        self._sdk.get_client().close(10)
