"""Elastic's APM agent, with a transaction for every request."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from .base import Contestant
from .hosts import flask_around

MIDDLEWARE = "elasticapm.contrib.django.middleware.TracingMiddleware"


class Elastic(Contestant):
    """For WSGI it knows Flask, and no plain application."""

    name = "Elastic APM"
    package = "elastic-apm"
    requirements = ("elastic-apm==6.26.2", "flask")
    captures = "headers, request bodies (turned on); WSGI as Flask"
    imports: ClassVar[Mapping[str, str]] = {
        "ASGI": "import elasticapm.contrib.asgi",
        "WSGI": "import elasticapm.contrib.flask",
        "Django": "import elasticapm.contrib.django.middleware",
    }

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:
        super().__init__(kind, url, eager=eager)
        self._options = {
            "SERVICE_NAME": "benchmark", "SERVER_URL": url, "CAPTURE_BODY": "all", "CENTRAL_CONFIG": False,
            "CLOUD_PROVIDER": False, "METRICS_INTERVAL": "0s",
        }  # fmt: skip
        if kind == "Django":
            self.settings = {"ELASTIC_APM": self._options, "INSTALLED_APPS": ["elasticapm.contrib.django"]}
        self._module = importlib.import_module("elasticapm")

    def host(self, app: Any) -> Any:
        """Return Flask with the application's answers, for WSGI."""
        return flask_around(app) if self._kind == "WSGI" else app

    def wrap(self, app: Any) -> Any:
        """Return the wrapped application."""
        if self._kind == "WSGI":
            app.config["ELASTIC_APM"] = self._options
            importlib.import_module("elasticapm.contrib.flask").ElasticAPM(app)
            return app
        module = importlib.import_module("elasticapm.contrib.asgi")
        return module.ASGITracingMiddleware(app, **{name.lower(): value for name, value in self._options.items()})

    def middleware(self) -> Sequence[str]:
        """Return the one."""
        return [MIDDLEWARE]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take its middleware out of Django's settings, which its signal handlers look at."""
        if self._kind != "Django":
            yield
            return
        settings = importlib.import_module("django.conf").settings
        before, settings.MIDDLEWARE = settings.MIDDLEWARE, []
        try:
            yield
        finally:
            settings.MIDDLEWARE = before

    def flush(self) -> None:
        """Send what it has buffered."""
        self._module.get_client()._transport.flush()  # noqa: SLF001  # the client has no flush of its own

    def close(self) -> None:
        """Send the rest and end."""
        self._module.get_client().close()
