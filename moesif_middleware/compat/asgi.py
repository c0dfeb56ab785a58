"""In the place of moesifasgi: ``app.add_middleware(MoesifMiddleware, settings={...})``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..asgi import ASGIApp
from ..asgi import MoesifMiddleware as New
from . import Updates, open_handle


class MoesifMiddleware(Updates, New):
    """The ASGI middleware with the vendor's settings and hooks, which take (request, response)."""

    def __init__(self, app: ASGIApp, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(app, open_handle(settings, lambda request, response: (request, response)))


__all__ = ["MoesifMiddleware"]
