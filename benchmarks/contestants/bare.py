"""No middleware at all."""

from __future__ import annotations

from typing import Any

from .base import Contestant


class Bare(Contestant):
    """The application as it is."""

    name = "bare"
    captures = "nothing"

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:  # noqa: ARG002  # every contestant's
        self.settings = {}

    def wrap(self, app: Any) -> Any:
        """Return the application."""
        return app
