"""Nothing of ours raises into the application: each step of a request is made to fail, and the client is answered."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest

from moesif_middleware import Hooks, MemorySink, Moesif, Settings
from moesif_middleware.asgi import MoesifMiddleware
from moesif_middleware.sansio.masking import Masker
from moesif_middleware.wsgi import MoesifMiddleware as WSGIMiddleware

BODY = b'{"a": 1}'


def asgi(moesif: Moesif) -> bytes:
    """Serve one request whose application reads its body and answers it, and return what was sent."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(MoesifMiddleware(app, moesif)(scope, receive, send))
    assert [message.get("status") for message in sent] == [200, None]
    return bytes(sent[1]["body"])


def wsgi(moesif: Moesif) -> bytes:
    """Do the same with an application that answers in pieces."""
    statuses: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return iter([body[:3], body[3:]])

    def start_response(status: str, headers: Any) -> Any:
        statuses.append(status)

    environ = {
        "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(BODY)), "PATH_INFO": "/", "wsgi.input": io.BytesIO(BODY)
    }  # fmt: skip
    result = WSGIMiddleware(app, moesif)(environ, start_response)
    found = b"".join(result)
    getattr(result, "close", bool)()
    assert statuses == ["200 OK"]
    return found


STEPS = {
    "begin": "begin",
    "correlate": "new_transaction_id",
    "request": "request_buffer",
    "response": "response_buffer",
    "finish": "view",
    "governance": "subject",
    "submit": "_wanted",
    "flush": "worker.settle",
}
"""The name under which a failure is counted, and what is made to fail."""


@pytest.mark.parametrize("serve", [asgi, wsgi])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_fails_is_counted_and_the_client_is_answered(
    monkeypatch: pytest.MonkeyPatch, serve: Callable[[Moesif], bytes], name: str
) -> None:
    """As if there were no middleware; the request is in the ledger all the same."""
    hooks = Hooks(skip=lambda request, response: False, identify_user=lambda request: "ann")
    moesif = Moesif(Settings(application_id="x", hooks=hooks, flush_each_request=True), sink=MemorySink())
    monkeypatch.setattr(type(moesif.snapshot), "idle", property(lambda snapshot: False))
    monkeypatch.setattr(type(moesif.snapshot), "reads_request", property(lambda snapshot: True))
    step = STEPS[name]

    def fail(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError(step)

    with monkeypatch.context() as patch:
        if step == "worker.settle":
            patch.setattr(moesif.worker, "settle", fail)
            patch.setattr(moesif, "_drained", fail)
        else:
            patch.setattr(moesif, step, fail)
        assert serve(moesif) == BODY
    assert moesif.errors == {name: 1}
    assert moesif.stats()["captured"] == 1
    moesif.close(5)


@pytest.mark.parametrize("serve", [asgi, wsgi])
def test_a_hook_whose_task_was_cancelled_does_not_cancel_the_request(serve: Callable[[Moesif], bytes]) -> None:
    """A cancellation is no Exception, and would pass for that of the request itself."""

    async def identify(request: Any) -> str:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task
        return "never"

    moesif = Moesif(Settings(application_id="x", hooks=Hooks(identify_user=identify)), sink=MemorySink())
    assert serve(moesif) == BODY
    assert moesif.errors == {"identify_user": 1}
    moesif.close(5)


@pytest.mark.parametrize("name", ["identify_user", "skip", "get_metadata"])
async def test_a_request_that_is_cancelled_in_a_hook_is_cancelled(name: str) -> None:
    """The other way round: the server stops, or the client has gone."""

    waits = asyncio.Event()

    async def hook(*_: Any) -> None:
        waits.set()
        await asyncio.sleep(60)

    moesif = Moesif(Settings(application_id="x", hooks=Hooks(**{name: hook})), sink=MemorySink())
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    task = asyncio.ensure_future(MoesifMiddleware(lambda *_: asyncio.sleep(0), moesif)(scope, None, None))  # type: ignore[arg-type]
    await asyncio.wait_for(waits.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert moesif.errors == {}
    assert moesif.stats()["captured"] == 1
    moesif.close(5)


async def test_hooks_are_asked_about_a_request_that_is_cancelled_unless_they_have_to_be_awaited() -> None:
    """Or one that is to be skipped would leave where its client has gone."""

    async def metadata(request: Any, response: Any) -> dict[str, Any]:
        return {"a": 1}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    hooks = Hooks(skip=lambda request, response: request.url.path == "/skipped", get_metadata=metadata)
    moesif = Moesif(Settings(application_id="x", hooks=hooks), sink=MemorySink())
    for path in ("/skipped", "/other"):
        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        task = asyncio.ensure_future(MoesifMiddleware(app, moesif)(scope, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (moesif.stats()["captured"], moesif.stats()["skipped"], moesif.errors) == (2, 1, {"get_metadata": 1})
    moesif.close(5)


@pytest.mark.parametrize(("step", "sent"), [("body", 0), ("head", 0), ("fields", 1)])
def test_an_event_leaves_masked_or_not_at_all(monkeypatch: pytest.MonkeyPatch, step: str, sent: int) -> None:
    """Where the straight way fails, the event takes the longer one; where that fails as well, nothing leaves."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Masker, step, fail)
    sink = MemorySink()
    moesif = Moesif(Settings(application_id="app-1"), sink=sink)
    assert asgi(moesif) == BODY
    moesif.close()
    assert len(sink.events) == sent
    assert moesif.stats()["dropped"] == ({} if sent else {"mask_failed": 1})
