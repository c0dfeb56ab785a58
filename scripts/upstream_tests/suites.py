"""The table of what is run: releases, what their tests need, which parts, and where the middleware goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=300", "-p", "upstream_record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The tests of one release. ``name`` is the package's on the registry, with the extras that are installed."""

    name: str
    version: str
    requires: tuple[str, ...]
    """What the tests need beside the package itself."""
    wraps: tuple[str, ...]
    """Where the middleware goes: names that ``probe.wrap`` knows."""
    extras: str = ""
    arguments: tuple[str, ...] = (*PYTEST, "tests")
    """Of Python, in ``directory``."""
    directory: str = "."
    """Where the tests are run, from the top of the sdist."""
    environment: Mapping[str, str] = field(default_factory=dict)
    exceptions: Mapping[str, str] = field(default_factory=dict)
    """Tests that fail with the middleware since they look at what it has to change, each with the reason."""

    @property
    def label(self) -> str:
        """Return the name and version as a directory's name."""
        return f"{self.name}-{self.version}"

    @property
    def is_pytest(self) -> bool:
        """Return whether pytest runs the suite, rather than Django's own runner."""
        return self.arguments[: len(PYTEST)] == PYTEST

    def only(self, tests: list[str]) -> tuple[str, ...]:
        """Return the arguments that run just these tests."""
        if self.is_pytest:
            return (*PYTEST, *tests)
        return (*(argument for argument in self.arguments if argument not in DJANGO_PARTS), *tests)


DJANGO_PARTS = ("requests_tests", "handlers", "asgi", "file_uploads", "middleware", "i18n", "sessions_tests")

SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="starlette",
            version="1.10.0",
            extras="[full]",
            requires=("blockbuster", "httpx2[zstd]", "importlib-metadata", "opentelemetry-sdk", "pytest", "trio"),
            wraps=("starlette", "httpx", "httpx2"),
        ),
        Suite(
            name="flask",
            version="3.1.3",
            extras="[async,dotenv]",
            requires=("greenlet", "pytest<9.1"),
            wraps=("flask",),
        ),
        Suite(
            name="werkzeug",
            version="3.1.9",
            requires=(
                "cffi",
                "cryptography",
                "ephemeral-port-reserve",
                "pytest<9.2",
                "pytest-timeout",
                "watchdog<7",
            ),
            wraps=("werkzeug",),
            # The tests of the development server wait for it without end.
            arguments=(*PYTEST, "--timeout=120", "tests"),
        ),
    )
}
