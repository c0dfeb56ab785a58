"""Apitally, which sends OTLP: `APITALLY_OTLP_ENDPOINT` or ``otlp_endpoint`` is where to."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .base import Contestant
from .hosts import flask_around, starlette_around

MIDDLEWARE: list[str] = []
"""Apitally puts its Django middleware into this name of the module that calls it, as of a settings module."""


class Apitally(Contestant):
    """It comes for frameworks only: ASGI is measured as Starlette, WSGI as Flask, bare and watched."""

    name = package = "apitally"
    requirements = ("apitally[starlette,flask,django]==1.0.0",)
    captures = "headers, both bodies to 50 kB each or not at all (turned on); ASGI as Starlette, WSGI as Flask"
    imports: ClassVar[Mapping[str, str]] = {
        "ASGI": "import apitally.starlette",
        "WSGI": "import apitally.flask",
        "Django": "import apitally.django",
    }

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:
        super().__init__(kind, url, eager=eager)
        self._options = {
            "write_token": "apt_" + "0" * 24, "otlp_endpoint": url, "capture_request_headers": True,
            "capture_request_body": True, "capture_response_body": True,
        }  # fmt: skip
        self._activation = importlib.import_module("apitally.shared.activation")

    def host(self, app: Any) -> Any:
        """Return the framework around the application."""
        return starlette_around(app) if self._kind == "ASGI" else flask_around(app)

    def wrap(self, app: Any) -> Any:
        """Return the framework's application, watched."""
        module = importlib.import_module("apitally.starlette" if self._kind == "ASGI" else "apitally.flask")
        module.init(app, **self._options)
        return app

    def middleware(self) -> Sequence[str]:
        """Return what it puts into the settings."""
        module = importlib.import_module("apitally.django")
        module.init(django_include_class_based_views=True, **self._options)
        return MIDDLEWARE

    def flush(self) -> None:
        """Let its worker do now what it does every fifteen seconds."""
        worker = self._activation.export_worker
        if worker is not None:
            # Its thread would send the same files at the same time.
            worker.stop()
            worker.run_cycle(None, final=True)

    def close(self) -> None:
        """Send the rest and end."""
        self._activation.shutdown()
