"""moesif-middleware."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .base import Contestant

ROOT = Path(__file__).parent.parent.parent


class Ours(Contestant):
    """moesif-middleware with nothing but an application id."""

    name = "moesif-middleware"
    requirements = ("--editable", str(ROOT))
    package = "moesif-middleware"
    captures = "headers, both bodies to 100 kB each, all masked"
    imports: ClassVar[Mapping[str, str]] = {
        "ASGI": "import moesif_middleware.asgi",
        "WSGI": "import moesif_middleware.wsgi",
        "Django": "import moesif_middleware.django",
    }

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:
        super().__init__(kind, url, eager=eager)
        package = importlib.import_module("moesif_middleware")
        # A round of the eager comes faster than any server calls, and must not meet the bounds of the queue.
        room = {"queue_events": 1_000_000, "queue_bytes": 2**31} if eager else {}
        self.moesif = package.Moesif(application_id="benchmark", base_uri=url, **room)
        self.settings = {"MOESIF_MIDDLEWARE": self.moesif}

    def wrap(self, app: Any) -> Any:
        """Return the wrapped application."""
        module = importlib.import_module(f"moesif_middleware.{self._kind.lower()}")
        return module.MoesifMiddleware(app, moesif=self.moesif)

    def middleware(self) -> Sequence[str]:
        """Return the one."""
        return ["moesif_middleware.django.MoesifMiddleware"]

    def flush(self) -> None:
        """Wait until all is sent."""
        self.moesif.flush(120)

    def close(self) -> None:
        """Close."""
        self.moesif.close()
