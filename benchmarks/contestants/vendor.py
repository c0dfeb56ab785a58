"""The vendor's three packages, one for each kind."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from .base import Contestant


class _Vendor(Contestant):
    """What the three have in common: a dictionary of settings, and events that leave when a timer says so.

    One batch leaves at a time. With the defaults that is 100 events a second (25 in two, under Django), so that the
    eager get larger batches and a shorter interval.
    """

    captures = "headers, both bodies"
    _eager: ClassVar[dict[str, Any]] = {"BATCH_SIZE": 1_000, "EVENT_BATCH_TIMEOUT": 0.2}

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:
        super().__init__(kind, url, eager=eager)
        self._options = {"APPLICATION_ID": "benchmark", "BASE_URI": url, **(self._eager if eager else {})}


class MoesifAsgi(_Vendor):
    """moesifasgi."""

    name = package = "moesifasgi"
    kinds = ("ASGI",)
    requirements = ("moesifasgi==1.1.8",)
    imports: ClassVar[Mapping[str, str]] = {"ASGI": "import moesifasgi"}

    def wrap(self, app: Any) -> Any:
        """Return the wrapped application."""
        return importlib.import_module("moesifasgi").MoesifMiddleware(app, settings=self._options)


class MoesifWsgi(_Vendor):
    """moesifwsgi."""

    name = package = "moesifwsgi"
    kinds = ("WSGI",)
    requirements = ("moesifwsgi==1.10.5",)
    imports: ClassVar[Mapping[str, str]] = {"WSGI": "import moesifwsgi"}

    def wrap(self, app: Any) -> Any:
        """Return the wrapped application."""
        self._middleware = importlib.import_module("moesifwsgi").MoesifMiddleware(app, self._options)
        return self._middleware

    def close(self) -> None:
        """Send the rest, as it does when the interpreter ends."""
        self._middleware.worker_pool.stop()


class MoesifDjango(_Vendor):
    """moesifdjango, whose only timer is the one of its scheduler."""

    name = package = "moesifdjango"
    kinds = ("Django",)
    requirements = ("moesifdjango==2.3.13",)
    imports: ClassVar[Mapping[str, str]] = {"Django": "import moesifdjango.middleware"}

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:
        super().__init__(kind, url, eager=eager)
        self.settings = {"MOESIF_MIDDLEWARE": self._options, "USE_TZ": True}
        self._schedulers: list[Any] = []

    def wrap(self, app: Any) -> Any:
        """Under Django there is nothing to wrap."""
        return app

    def middleware(self) -> Sequence[str]:
        """Return the one, and note the scheduler it makes."""
        schedulers = importlib.import_module("apscheduler.schedulers.background").BackgroundScheduler
        start, made = schedulers.start, self._schedulers

        def noted(scheduler: Any, *arguments: Any, **options: Any) -> Any:
            made.append(scheduler)
            return start(scheduler, *arguments, **options)

        schedulers.start = noted
        return ["moesifdjango.middleware.moesif_middleware"]

    def flush(self) -> None:
        """Let its timer be up now."""
        for scheduler in self._schedulers:
            for job in scheduler.get_jobs():
                job.modify(next_run_time=datetime.now(scheduler.timezone))
