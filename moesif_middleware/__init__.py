"""API monitoring, governance and a self-hosted collector for any ASGI or WSGI application."""

from __future__ import annotations

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__: list[str] = []
