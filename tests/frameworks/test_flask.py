"""Flask: blueprints, handled exceptions, streams and files, as without the middleware."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, request, send_file, stream_with_context

from moesif_middleware import add_metadata
from moesif_middleware.flask import init_app
from moesif_middleware.testing import Recorder, recording


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A handle that records."""
    with recording() as made:
        yield made


def shop(recorder: Recorder) -> Flask:
    """Return an application with a blueprint."""
    app, books = Flask(__name__), Blueprint("books", __name__, url_prefix="/books")

    @books.post("/<int:number>")
    def book(number: int) -> dict[str, Any]:
        return {"number": number, "got": request.get_json()}

    @app.get("/fail")
    def fail() -> str:
        raise ZeroDivisionError("a message that may hold a secret")

    @app.get("/file")
    def file() -> Response:
        return send_file(io.BytesIO(b"x" * 50_000), "image/png")

    @app.get("/stream")
    def stream() -> Response:
        def rows() -> Iterator[str]:
            add_metadata(path=request.path)
            yield "one"
            yield "two"

        return Response(stream_with_context(rows()))

    app.register_blueprint(books)
    init_app(app, recorder.moesif)
    return app


def test_the_route_is_the_rule_of_the_blueprint(recorder: Recorder) -> None:
    """With the blueprint's prefix and the converters; a path without a rule has none."""
    client = shop(recorder).test_client()
    assert client.post("/books/5", json={"a": 1}).get_json() == {"number": 5, "got": {"a": 1}}
    assert client.get("/none", buffered=True).status_code == 404
    # Failures are sent first.
    found = {event["response"]["status"]: (event.get("metadata") or {}).get("route") for event in recorder.events}
    assert found == {200: "/books/<int:number>", 404: None}


def test_an_application_under_a_prefix_has_it_in_its_route(recorder: Recorder) -> None:
    """SCRIPT_NAME is the root of the application."""
    shop(recorder).test_client().get("/fail", buffered=True, environ_overrides={"SCRIPT_NAME": "/v1"})
    assert recorder.events[0]["metadata"]["route"] == "/v1/fail"


def test_a_stream_runs_in_its_request_and_a_file_passes(recorder: Recorder) -> None:
    """stream_with_context, add_metadata inside of it, and direct_passthrough."""
    client = shop(recorder).test_client()
    assert client.get("/stream").data == b"onetwo"
    with client.get("/file") as answer:
        assert len(answer.data) == 50_000
    assert recorder.events[0]["metadata"]["path"] == "/stream"
    assert recorder.events[1]["response"]["status"] == 200


def test_init_app_reads_the_applications_config_and_works_once() -> None:
    """MOESIF_ keys of app.config are the settings."""
    app = Flask(__name__)
    app.config["MOESIF_APPLICATION_ID"] = "of-the-config"
    handle = init_app(app)
    inner = app.wsgi_app
    assert handle.settings.application_id == "of-the-config"
    assert init_app(app, handle) is handle
    assert app.wsgi_app is inner
    handle.close(0)
