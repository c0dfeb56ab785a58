"""Flask: ``init_app(app, moesif)`` puts the WSGI middleware around the application, and sees what Flask handles itself.

Blueprints, streams and ``direct_passthrough`` files are as without it. The event's route is that of the URL rule.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, got_request_exception

from .runtime.client import Moesif
from .runtime.current import note_exception
from .wsgi import MoesifMiddleware

EXTENSION = "moesif"
"""The handle's key in ``app.extensions``."""


def init_app(app: Flask, moesif: Moesif | None = None) -> Moesif:
    """Watch an application, and return the handle that does. Called twice with one handle, it does its work once.

    Without a handle the settings are those of ``app.config`` that begin with ``MOESIF_``, over those of the
    environment: ``app.config["MOESIF_APPLICATION_ID"] = "..."``.
    """
    handle = Moesif.given(app.config.get_namespace("MOESIF_") if moesif is None else moesif, {})
    if app.extensions.get(EXTENSION) == handle:
        return handle
    app.wsgi_app = MoesifMiddleware(app.wsgi_app, handle)  # type: ignore[method-assign]  # as Flask documents it
    app.extensions[EXTENSION] = handle
    # Flask turns exceptions into answers, so that the middleware outside sees none.
    got_request_exception.connect(_note, app)
    return handle


def _note(_sender: Any, *, exception: BaseException, **_: Any) -> None:
    note_exception(exception)
