"""A Flask application with one line of monitoring.

Run it: ``MOESIF_APPLICATION_ID=... MOESIF_BASE_URI=http://127.0.0.1:9500 gunicorn examples.flask_app:app``
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from flask import Flask, Response, abort, request

from moesif_middleware import Moesif, identify
from moesif_middleware.flask import init_app

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

app = Flask(__name__)
init_app(app, Moesif())


@app.get("/books/<int:book_id>")
def book(book_id: int) -> dict[str, object]:
    """Answer JSON."""
    if book_id > 100:
        abort(404)
    return {"id": book_id, "title": f"Book {book_id}"}


@app.post("/login")
def login() -> dict[str, object]:
    """Take a form: the event has its fields, the password masked."""
    identify(user_id=request.form["name"])
    return {"welcome": request.form["name"], "session_token": "never leaves"}


@app.post("/reviews")
def reviews() -> tuple[dict[str, object], int]:
    """Take JSON."""
    return {"stars": (request.get_json() or {}).get("stars"), "accepted": True}, 201


@app.get("/report")
def report() -> Response:
    """Answer a stream of lines."""

    def rows() -> Iterator[str]:
        for number in range(5):
            yield f'{{"row": {number}}}\n'

    return Response(rows(), mimetype="application/x-ndjson")


@app.get("/slow")
def slow() -> dict[str, str]:
    """Answer late."""
    time.sleep(0.3)
    return {"was": "slow"}


@app.get("/error")
def error() -> str:
    """Fail."""
    raise RuntimeError("this route always fails")
