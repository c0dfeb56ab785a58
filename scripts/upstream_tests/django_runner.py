"""Django's test runner, which records each test's outcome, and wraps the handlers when it is asked to."""

from __future__ import annotations

import importlib
import os
from typing import Any

from django.test.runner import DiscoverRunner

record: Any = importlib.import_module("upstream_record")
WRAPS = os.environ.get("UPSTREAM_WRAPS")


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
