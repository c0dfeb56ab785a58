"""In the place of moesifwsgi: ``app.wsgi_app = MoesifMiddleware(app.wsgi_app, {...})``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..wsgi import MoesifMiddleware as New
from ..wsgi import WSGIApp
from . import Updates, open_handle


class MoesifMiddleware(Updates, New):
    """The WSGI middleware with the vendor's settings and hooks.

    Hooks take (app, environ), those of identity (app, environ, response_headers). The environ has
    ``moesif.request_body``, ``moesif.response_headers`` and ``moesif.response_body_chunks`` once the response is known.
    """

    def __init__(self, app: WSGIApp, settings: Mapping[str, Any] | None = None) -> None:
        def arguments(request: Any, response: Any) -> tuple[Any, ...]:
            environ, headers = request.environ, {}
            if response is not None:
                headers = dict(response.headers.items())
                environ["moesif.request_body"] = response.request_body
                environ["moesif.response_headers"] = list(headers.items())
                environ["moesif.response_body_chunks"] = [response.body] if response.body else []
            return app, environ, headers

        super().__init__(app, open_handle(settings, arguments))


__all__ = ["MoesifMiddleware"]
