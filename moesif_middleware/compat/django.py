"""In the place of moesifdjango: ``MIDDLEWARE = [..., "moesif_middleware.compat.django.moesif_middleware"]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..django import MoesifMiddleware as New
from ..runtime.client import Moesif
from . import Updates, open_handle


class MoesifMiddleware(Updates, New):
    """The Django middleware with the vendor's settings and hooks, which take (request, response).

    ``MoesifMiddleware(None)`` is a place to call the update methods on.
    """

    def __init__(self, get_response: Any = None) -> None:
        super().__init__(get_response)

    @property
    def moesif(self) -> Moesif:  # type: ignore[override]  # Django's settings may be overridden meanwhile
        """Return the handle."""
        return self.handle()

    @staticmethod
    def open(value: object) -> Moesif:
        """Return the handle for the dictionary in ``settings.MOESIF_MIDDLEWARE``."""
        if value is not None and not isinstance(value, Mapping):
            return New.open(value)
        return open_handle(value, _arguments, stacklevel=2)


def _arguments(request: Any, response: Any) -> tuple[Any, ...]:
    return request, None if response is None else response.original


moesif_middleware = MoesifMiddleware
"""The vendor's name of it."""

__all__ = ["MoesifMiddleware", "moesif_middleware"]
