"""The Django middleware: Django's own behaviour is kept, sync and async, and what is recorded is right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
import pytest
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["moesif_middleware.django.MoesifMiddleware"],
        MOESIF_MIDDLEWARE={"APPLICATION_ID": "a"},
        INSTALLED_APPS=[
            "moesif_middleware.django.MoesifConfig", "django.contrib.auth", "django.contrib.contenttypes",
            "django.contrib.sessions",
        ],
        # In memory, and shared by the threads in which Django runs what asks a database.
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": "file:moesif_tests?mode=memory&cache=shared",
                "OPTIONS": {"uri": True},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )  # fmt: skip
    django.setup()

from django.core.checks import run_checks
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.asgi import ASGIHandler
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path

from moesif_middleware import Hooks
from moesif_middleware.asgi import MoesifMiddleware as AsgiMiddleware
from moesif_middleware.django import MoesifMiddleware
from moesif_middleware.testing import Recorder, assert_no_secrets, recording
from moesif_middleware.wsgi import MoesifMiddleware as WsgiMiddleware

BLOCK = (
    b"""[{"_id": "b", "type": "regex", "block": true, "regex_config": [], "response": {"status": 429, "body": {}}}]"""
)
READS_THE_BODY = b"""[{"_id": "r", "type": "regex", "block": false, "response": {"headers": {"X-Rule": "1"}},
  "regex_config": [{"conditions": [{"path": "request.body.kind", "value": "x"}]}]}]"""


def body(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body)


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"".join(iter(lambda: request.read(3), b"")))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"one", b"two"]))


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("a message that may hold a secret")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))  # closed with the response


def upload(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"size": request.FILES["f"].size})


async def body_async(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(request.body)


def broken(request: HttpRequest) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise ZeroDivisionError

    return StreamingHttpResponse(chunks())


async def broken_async(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        raise ZeroDivisionError

    return StreamingHttpResponse(chunks())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    return StreamingHttpResponse(chunks())


urlpatterns = [
    path("body/", body), path("read/", read), path("stream/", stream), path("fail/", fail), path("file/", file),
    path("upload/", upload), path("async/<int:number>/", body_async), path("stream-async/", stream_async),
    path("broken/", broken), path("broken-async/", broken_async),
]  # fmt: skip


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A handle that records, in the place of the one of the settings."""
    with recording() as made, override_settings(MOESIF_MIDDLEWARE=made.moesif):
        yield made


@pytest.mark.parametrize("where", ["/body/", "/read/"])
@pytest.mark.parametrize("rules", [b"[]", READS_THE_BODY])
def test_the_view_reads_every_byte_however_it_reads(recorder: Recorder, where: str, rules: bytes) -> None:
    """request.body and request.read(), also after a rule had the body read ahead of the view."""
    recorder.use(rules=rules)
    answer = Client().post(where, '{"kind": "x"}', content_type="application/json")
    assert answer.content == b'{"kind": "x"}'
    assert answer.has_header("X-Rule") is (rules != b"[]")
    (event,) = recorder.events
    assert event["request"]["body"] == {"kind": "x"}
    assert event["metadata"]["route"] == where


async def test_an_asgi_request_need_not_say_that_it_has_a_body(recorder: Recorder) -> None:
    """HTTP/2 has neither Content-Length nor Transfer-Encoding to tell by."""
    messages = [
        {"type": "http.request", "body": b'{"kind": ', "more_body": True},
        {"type": "http.request", "body": b'"x"}'},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/async/1/", "headers": [(b"content-type", b"application/json")]}
    await ASGIHandler()(scope, receive, send)
    assert sent[1]["body"] == b'{"kind": "x"}'
    assert recorder.events[0]["request"]["body"] == {"kind": "x"}


def test_an_upload_above_the_capture_limit_arrives_whole(recorder: Recorder) -> None:
    """Upload handlers are Django's own; the copy ends at the limit."""
    answer = Client().post("/upload/", {"f": SimpleUploadedFile("f.bin", b"z" * 3_000_000)})
    assert answer.json() == {"size": 3_000_000}
    assert recorder.events[0]["metadata"]["request_body_truncated"] > 3_000_000


def test_a_stream_is_not_held_back_and_a_file_is_not_touched(recorder: Recorder) -> None:
    """A stream is submitted when it has ended; a file keeps what a server needs for sendfile."""
    answer = Client().get("/stream/")
    assert recorder.moesif.stats()["captured"] == 0
    assert list(answer.streaming_content) == [b"one", b"two"]
    assert recorder.moesif.stats()["captured"] == 1
    # Not by the test client, which puts an iterator of its own around the file.
    answer = MoesifMiddleware(file)(RequestFactory().get("/file/"))
    assert answer.file_to_stream is not None
    answer.close()
    assert "body" not in recorder.events[1]["response"]


def test_the_session_is_told_apart_by_a_digest_of_its_key(recorder: Recorder) -> None:
    """Its key is the cookie that opens it, which must not leave; a hook may say another token."""
    request = RequestFactory().get("/body")
    request.session = SimpleNamespace(session_key="5up3rs3cr3tk3y")  # type: ignore[assignment]
    for _ in range(2):
        MoesifMiddleware(lambda request: HttpResponse(b"x"))(request)
        request.environ.pop("moesif_middleware.applications")
    first, second = recorder.events
    assert first["session_token"] == second["session_token"] == sha256(b"5up3rs3cr3tk3y").hexdigest()
    assert_no_secrets(recorder.events, ["5up3rs3cr3tk3y"])


def test_inside_the_wsgi_middleware_it_is_one_event_with_djangos_route(recorder: Recorder) -> None:
    """Wrapped twice is captured once, across adapters."""
    from django.core.handlers.wsgi import WSGIHandler
    from werkzeug.test import Client as Caller

    assert Caller(WsgiMiddleware(WSGIHandler(), recorder.moesif)).get("/body/", buffered=True).status_code == 200
    (event,) = recorder.events
    assert event["metadata"]["route"] == "/body/"


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ({"APPLICATION_ID": "a"}, []),
        ([], ["moesif.E001"]),
        ({}, ["moesif.E002"]),
        ({"APPLICATION_ID": "a", "BODY_BITES": 1}, ["moesif.E003"]),
        ({"APPLICATION_ID": "a", "BODY_BYTES": -1, "SKIP": 3}, ["moesif.E004", "moesif.E004"]),
    ],
)
def test_system_checks_say_all_that_is_wrong(value: Any, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bad key is an error of its own."""
    monkeypatch.delenv("MOESIF_APPLICATION_ID", raising=False)
    with override_settings(MOESIF_MIDDLEWARE=value):
        assert [message.id for message in run_checks(tags=["moesif"])] == ids


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["moesif_middleware.django.MoesifMiddleware"], []),
        ([], ["moesif.W001"]),
        (["moesif_middleware.django.MoesifMiddleware"] * 2, ["moesif.W002"]),
    ],
)
def test_system_checks_look_at_the_list_of_middlewares_too(names: list[str], ids: list[str]) -> None:
    """Where nothing would be captured, or the same thing is there twice."""
    with override_settings(MIDDLEWARE=names, MOESIF_MIDDLEWARE={"APPLICATION_ID": "a"}):
        assert [message.id for message in run_checks(tags=["moesif"])] == ids


def test_overridden_settings_take_effect_at_once() -> None:
    """And are undone with the context."""
    before = MoesifMiddleware.handle()
    with override_settings(MOESIF_MIDDLEWARE={"APPLICATION_ID": "another", "BODY_BYTES": 7}):
        inside = MoesifMiddleware.handle()
        assert (inside.settings.application_id, inside.settings.body_bytes) == ("another", 7)
    assert MoesifMiddleware.handle() is before
    inside.close(0)


async def test_a_server_sees_a_lifespan_in_the_place_of_the_one_that_django_has_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Or the last events would go down with a server that ends itself with the signal that it got."""
    incoming = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop()

    async def send(message: Any) -> None:
        sent.append(message["type"])

    caplog.set_level("INFO", logger="moesif_middleware")
    with recording() as recorder:
        await AsgiMiddleware(ASGIHandler(), recorder.moesif)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert "the application has no lifespan of its own (ValueError)" in caplog.messages


def reads_the_body(get_response: Any) -> Any:
    """A middleware that reads the body before ours, as one that checks signatures does."""

    def middleware(request: HttpRequest) -> Any:
        assert request.body
        return get_response(request)

    return middleware


@pytest.mark.parametrize("rules", [b"[]", READS_THE_BODY])
@pytest.mark.parametrize("where", ["/body/", "/read/"])
def test_a_body_that_a_middleware_above_has_read_is_in_the_event(recorder: Recorder, where: str, rules: bytes) -> None:
    """Django hands out what it has in memory, and reads no stream again."""
    recorder.use(rules=rules)
    above = [f"{__name__}.reads_the_body", "moesif_middleware.django.MoesifMiddleware"]
    with override_settings(MIDDLEWARE=above):
        answer = Client().post(where, b'{"kind": "x"}', content_type="application/json")
    assert (answer.status_code, answer.content, answer.headers.get("X-Rule")) == (
        200, b'{"kind": "x"}', None if rules == b"[]" else "1"
    )  # fmt: skip
    (event,) = recorder.events
    assert event["request"]["body"] == {"kind": "x"}


@pytest.mark.parametrize("where", ["/fail/", "/broken/"])
@pytest.mark.parametrize("skips", [False, True])
def test_hooks_are_asked_about_what_raised_in_a_stream_or_left_django(where: str, skips: bool) -> None:
    """Or a request that is to be skipped would leave just then."""
    with recording(hooks=Hooks(skip=lambda *_: skips)) as recorder:
        changed = override_settings(MOESIF_MIDDLEWARE=recorder.moesif, DEBUG_PROPAGATE_EXCEPTIONS=True)
        with changed, pytest.raises(ZeroDivisionError):
            b"".join(Client().get(where).streaming_content)  # type: ignore[attr-defined]
        assert recorder.moesif.stats()["captured"] == 1
        assert [event["metadata"]["exception"] for event in recorder.events] == ["ZeroDivisionError"] * (not skips)


@pytest.mark.parametrize("where", ["/fail/", "/broken-async/"])
@pytest.mark.parametrize("skips", [False, True])
async def test_hooks_are_asked_about_what_raised_in_an_asynchronous_chain(where: str, skips: bool) -> None:
    """They may be awaited there."""

    async def skip(request: Any, response: Any) -> bool:
        await asyncio.sleep(0)
        return skips

    with recording(hooks=Hooks(skip=skip)) as recorder:
        changed = override_settings(MOESIF_MIDDLEWARE=recorder.moesif, DEBUG_PROPAGATE_EXCEPTIONS=True)
        with changed, pytest.raises(ZeroDivisionError):
            async for _ in (await AsyncClient().get(where)).streaming_content:  # type: ignore[attr-defined]
                pass
        assert recorder.moesif.stats()["captured"] == 1
        assert [event["metadata"]["exception"] for event in recorder.events] == ["ZeroDivisionError"] * (not skips)
