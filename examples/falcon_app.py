"""A Falcon application with one line of monitoring, and a few that say its route templates.

Run it: ``MOESIF_APPLICATION_ID=... MOESIF_BASE_URI=http://127.0.0.1:9500 gunicorn examples.falcon_app:application``
"""

from __future__ import annotations

from typing import Any

import falcon

from moesif_middleware import Moesif, set_route
from moesif_middleware.wsgi import MoesifMiddleware


class Routes:
    """Says by which template a request was routed."""

    def process_resource(self, req: falcon.Request, resp: falcon.Response, resource: object, params: Any) -> None:
        """Say it, once Falcon has found out."""
        set_route(req.uri_template)


class Book:
    """A book."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, number: int) -> None:
        """Answer JSON."""
        resp.media = {"id": number, "title": f"Book {number}"}

    def on_put(self, req: falcon.Request, resp: falcon.Response, number: int) -> None:
        """Take JSON."""
        resp.media = {"id": number, "title": req.get_media()["title"], "secret": "never leaves"}


falcon_app = falcon.App(middleware=[Routes()])
falcon_app.add_route("/books/{number:int}", Book())
application = MoesifMiddleware(falcon_app, Moesif())
