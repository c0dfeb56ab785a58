"""No middleware at all."""

from __future__ import annotations

from typing import Any

from .base import Contestant


class Bare(Contestant):
    """The application as it is."""

    name = "bare"
    captures = "nothing"

    def wrap(self, app: Any) -> Any:
        """Return the application."""
        return app
