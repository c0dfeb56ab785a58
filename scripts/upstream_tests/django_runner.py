"""Django's test runner, which records each test's outcome, and wraps the handlers when it is asked to."""

from __future__ import annotations

import importlib
import os
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.test.runner import DiscoverRunner
from django.utils.decorators import sync_and_async_middleware

record: Any = importlib.import_module("upstream_record")
WRAPS = os.environ.get("UPSTREAM_WRAPS")


@sync_and_async_middleware  # type: ignore[untyped-decorator]  # as above
def nothing(get_response: Any) -> Any:
    """Stand in the middleware's place in the control run."""
    if not iscoroutinefunction(get_response):
        return lambda request: get_response(request)

    async def middleware(request: Any) -> Any:
        return await get_response(request)

    return middleware


class Runner(DiscoverRunner):  # type: ignore[misc]  # Django has no types
    """Runs in one process; what is recorded there is written at the end."""

    def get_resultclass(self) -> Any:
        """Return the result that records."""
        return record.Result

    def run_tests(self, *args: Any, **options: Any) -> Any:
        """Run, with the middleware when the environment names what to wrap."""
        probe: Any = importlib.import_module("upstream_probe") if WRAPS else None
        if probe is not None:
            probe.wrap(str(WRAPS).split(","))
        try:
            return super().run_tests(*args, **options)
        finally:
            record.write()
            if probe is not None:
                probe.count()
