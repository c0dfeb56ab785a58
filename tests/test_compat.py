"""Coming from the vendor's packages: their dictionaries and hooks, as their option lists have them, work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from django.conf import settings
from django.http import JsonResponse as DjangoResponse
from django.test import Client, override_settings
from django.urls import path
from flask import Flask, jsonify, request
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from moesif_middleware.cli.migrate import migrate
from moesif_middleware.compat import capturing
from moesif_middleware.compat.asgi import MoesifMiddleware as AsgiMiddleware
from moesif_middleware.compat.django import MoesifMiddleware as DjangoMiddleware
from moesif_middleware.compat.wsgi import MoesifMiddleware as WsgiMiddleware
from moesif_middleware.testing import Recorder, recording
from moesif_middleware.vendor_keys import KEYS, translate

from .faults import FaultServer
from .frameworks import test_django as django_app

assert django_app.urlpatterns


def mask_event(event: Any) -> Any:
    event.request.headers["x-masked"] = "yes"
    if event.response.body and "note" in event.response.body:
        event.response.body["note"] = None
    return event


COMMON = {
    "APPLICATION_ID": "old-app",
    "BASE_URI": "https://api.moesif.net",
    "LOG_BODY": True,
    "API_VERSION": "1.2",
    "AUTHORIZATION_HEADER_NAME": "X-Api-Key,Authorization",
    "AUTHORIZATION_USER_ID_FIELD": "sub",
    "MASK_EVENT_MODEL": mask_event,
    "CAPTURE_OUTGOING_REQUESTS": True,
    "LOG_BODY_OUTGOING": True,
    "IDENTIFY_USER_OUTGOING": lambda request, response: f"out-{request.method}",
    "IDENTIFY_COMPANY_OUTGOING": lambda request, response: f"out-{response.status_code}",
    "GET_SESSION_TOKEN_OUTGOING": lambda request, response: "out-session",
    "GET_METADATA_OUTGOING": lambda request, response: {"asked": request.url},
    "SKIP_OUTGOING": lambda request, response: request.url.endswith("/skipped"),
}
OF_RESPONSES = {
    **COMMON,
    "IDENTIFY_USER": lambda request, response: "12345",
    "IDENTIFY_COMPANY": lambda request, response: f"company-{response.status_code}",
    "GET_SESSION_TOKEN": lambda request, response: "XXXX",
    "GET_METADATA": lambda request, response: {"datacenter": "westus", "type": response.headers["content-type"]},
}
ASGI = {
    **OF_RESPONSES,
    "DEBUG": False,
    "BATCH_SIZE": 100,
    "EVENT_QUEUE_SIZE": 1_000_000,
    "EVENT_BATCH_TIMEOUT": 1,
    "EVENT_WORKER_COUNT": 2,
    "DISABLED_TRANSACTION_ID": False,
    "SKIP": lambda request, response: "health/probe" in request.url.path,
}
DJANGO = {
    **{key: value for key, value in OF_RESPONSES.items() if key != "BASE_URI"},
    "LOCAL_MOESIF_BASEURL": "https://api.moesif.net",
    "LOCAL_DEBUG": False,
    "BATCH_SIZE": 25,
    "EVENT_QUEUE_SIZE": 1_000_000,
    "DISABLE_TRANSACTION_ID": False,
    "USE_CELERY": False,
    "CELERY_BROKER_URL": None,
    "REQUEST_HEADER_MASKS": ["X-Secret-Thing"],
    "RESPONSE_HEADER_MASKS": ["X-Answered-By"],
    "REQUEST_BODY_MASKS": ["maiden_name"],
    "RESPONSE_BODY_MASKS": ["nickname"],
    "SKIP": lambda request, response: "health/probe" in request.path,
}
WSGI = {
    **COMMON,
    "DEBUG": False,
    "IDENTIFY_USER": lambda app, environ: "12345",
    "IDENTIFY_COMPANY": lambda app, environ, response_headers: (
        f"company-{len(response_headers['content-type']) and 200}"
    ),
    "GET_SESSION_TOKEN": lambda app, environ: "XXXX",
    "GET_METADATA": lambda app, environ: {
        "datacenter": "westus",
        "type": dict(environ["moesif.response_headers"])["content-type"],
        "sizes": [len(environ["moesif.request_body"]), len(b"".join(environ["moesif.response_body_chunks"]))],
    },
    "SKIP": lambda app, environ: "health/probe" in environ.get("PATH_INFO", ""),
    "BATCH_SIZE": 100,
    "EVENT_QUEUE_SIZE": 1_000_000,
    "EVENT_BATCH_TIMEOUT": 2,
    "EVENT_WORKER_COUNT": 2,
    "DISABLED_TRANSACTION_ID": True,
}


def test_between_them_the_three_dictionaries_have_every_old_key() -> None:
    """So that what follows is asked of the whole of each option list."""
    assert {*ASGI, *DJANGO, *WSGI} == set(KEYS)


def test_the_page_names_every_old_key_and_what_it_is_called_now() -> None:
    """The warnings send people there."""
    page = (Path(__file__).parent.parent / "docs" / "migration.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, key in KEYS.items():
        (row,) = (row for row in rows if f"`{name}`" in row)
        assert (key.new or "none") in row


@pytest.fixture
def service() -> Iterator[str]:
    """A server of somebody else's, that the application calls."""
    with FaultServer().start() as server:
        yield server.url
    for handle in list(capturing):
        capturing.pop(handle).undo()


@contextmanager
def warned(old: dict[str, Any]) -> Iterator[None]:
    """Expect one DeprecationWarning for each key, which names the new one."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    texts = [str(one.message) for one in said if one.category is DeprecationWarning]
    assert sorted(text.split()[0] for text in texts) == sorted(old)
    assert all((KEYS[name].new or "no effect") in next(t for t in texts if t.startswith(f"{name} ")) for name in old)
    # Where the dictionary is handed over; Django's own settings hand it over to the middleware.
    assert {Path(one.filename).name for one in said} <= {Path(__file__).name, "django.py"}


def check(recorder: Recorder, service: str) -> dict[str, Any]:
    """Assert what each of the three must have recorded of a POST, its two calls and a skipped request; return it."""
    (event,) = (event for event in recorder.events if event["direction"] == "Incoming")
    (call,) = (event for event in recorder.events if event["direction"] == "Outgoing")
    assert (call["user_id"], call["company_id"], call["session_token"]) == ("out-POST", "out-201", "out-session")
    assert call["metadata"]["asked"] == call["request"]["uri"] == f"{service}/asked"
    assert call["request"]["body"] == {"of": "the application"}
    assert call["request"]["api_version"] == event["request"]["api_version"] == "1.2"
    assert (event["user_id"], event["company_id"], event["session_token"]) == ("12345", "company-200", "XXXX")
    assert event["metadata"]["datacenter"] == "westus"
    assert event["metadata"]["type"].startswith("application/json")
    assert event["request"]["body"]["q"] == 1
    # The mask hook runs when the response's body is there.
    assert event["response"]["body"]["note"] is None
    assert event["request"]["headers"]["x-masked"] == "yes"
    # The skipped request's own two calls, of which one is skipped too, and the skipped call of the other.
    assert recorder.moesif.stats()["skipped"] == 2
    assert recorder.moesif.stats()["errors"] == {}
    return event


def ask(service: str) -> None:
    """Make the application's own calls: one that is an event, one that the hook skips."""
    with requests.Session() as session:
        session.trust_env = False
        for path in ("/asked", "/skipped"):
            session.post(f"{service}{path}", json={"of": "the application"}, timeout=10)


async def test_a_moesifasgi_user_changes_the_import(service: str) -> None:
    """settings= as before, hooks of (request, response), and the update methods with dictionaries."""

    async def answer(request: Any) -> JSONResponse:
        await request.body()
        if request.url.path == "/things":
            await asyncio.to_thread(ask, service)
        return JSONResponse({"note": "a secret", "nickname": "bob"})

    app = Starlette(routes=[Route(path, answer, methods=["POST"]) for path in ("/things", "/health/probe")])
    with warned(ASGI):
        middleware = AsgiMiddleware(app, settings=ASGI)
    with recording(middleware.moesif) as recorder:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(middleware), base_url="http://shop") as client:
            answered = await client.post("/things", json={"q": 1})
            await client.post("/health/probe", json={"q": 1})
        check(recorder, service)
        assert "X-Moesif-Transaction-Id" in answered.headers
        middleware.update_user({"user_id": "u", "metadata": {"plan": "pro"}})
        middleware.update_users_batch([{"user_id": "v"}])
        middleware.update_company({"company_id": "c"})
        middleware.update_companies_batch([{"company_id": "d"}])
        middleware.update_subscription({"subscription_id": "s", "company_id": "c"})
        middleware.update_subscriptions_batch([{"subscription_id": "t", "company_id": "c"}])
        assert {kind: len(sent) for kind, sent in recorder.sent.items()} == {
            "events": 2, "users": 2, "companies": 2, "subscriptions": 2, "actions": 0,
        }  # fmt: skip


def test_a_moesifwsgi_user_changes_the_import(service: str) -> None:
    """The second positional argument, hooks of (app, environ[, response_headers]), and the environ's keys."""
    app = Flask(__name__)

    @app.post("/things", endpoint="things")
    @app.post("/health/probe", endpoint="probe")
    def things() -> Any:
        request.get_data()
        if request.path == "/things":
            ask(service)
        return jsonify(note="a secret")

    with warned(WSGI):
        middleware = WsgiMiddleware(app.wsgi_app, WSGI)
    app.wsgi_app = middleware  # type: ignore[method-assign]
    with recording(middleware.moesif) as recorder:
        answered = app.test_client().post("/things", json={"q": 1}, buffered=True)
        app.test_client().post("/health/probe", json={"q": 1}, buffered=True)
        event = check(recorder, service)
        assert "X-Moesif-Transaction-Id" not in answered.headers
        assert event["metadata"]["sizes"] == [len('{"q": 1}'), len(answered.data)]
        assert event["metadata"]["route"] == "/things"


def test_a_moesifdjango_user_changes_the_name_in_middleware(service: str) -> None:
    """settings.MOESIF_MIDDLEWARE as it is; the masks by name cover what they covered."""
    name = "moesif_middleware.compat.django.moesif_middleware"
    with override_settings(MIDDLEWARE=[name], MOESIF_MIDDLEWARE=DJANGO, ROOT_URLCONF=__name__, SERVICE=service):
        with warned(DJANGO):
            handle = DjangoMiddleware.handle()
        with recording(handle) as recorder:
            client = Client(headers={"X-Secret-Thing": "canary"})
            client.post("/things/", '{"q": 1, "maiden_name": "smith"}', content_type="application/json")
            client.post("/health/probe/", '{"q": 1}', content_type="application/json")
            event = check(recorder, service)
            assert [word for word in ("canary", "bob", "smith", "server-7") if word in str(event)] == []
            assert event["request"]["body"] == {"q": 1, "maiden_name": "[REDACTED:maiden_name]"}
            DjangoMiddleware(None).update_user({"user_id": "u"})
            assert len(recorder.sent["users"]) == 1


def django_view(request: Any) -> Any:
    if request.path == "/things/":
        ask(settings.SERVICE)
    found = {"note": "a secret", "nickname": "bob", "got": len(request.body)}
    return DjangoResponse(found, headers={"X-Answered-By": "server-7"})


urlpatterns = [path("things/", django_view), path("health/probe/", django_view)]


async def test_an_asynchronous_hook_that_needs_the_response_is_asked_again_when_there_is_one() -> None:
    """What it does without one is no error; what it says then is the event's."""

    async def identify_user(request: Any, response: Any) -> str:
        return f"user-{response.status_code}"

    old = {"APPLICATION_ID": "old-async", "IDENTIFY_USER": identify_user}
    with warned(old):
        middleware = AsgiMiddleware(Starlette(), settings=old)
    with recording(middleware.moesif) as recorder:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(middleware), base_url="http://shop") as client:
            await client.get("/nowhere")
        assert [event["user_id"] for event in recorder.events] == ["user-404"]
        assert recorder.moesif.stats()["errors"] == {}


def test_values_that_meant_something_else_are_carried_over() -> None:
    """Turned round, clamped, joined, or left out."""
    found = translate(
        {
            "DISABLE_TRANSACTION_ID": True, "EVENT_BATCH_TIMEOUT": 0, "BATCH_SIZE": 50_000, "API_VERSION": None,
            "REQUEST_HEADER_MASKS": ["a"], "RESPONSE_HEADER_MASKS": ["b"], "EVENT_WORKER_COUNT": 2, "BODY_BYTES": 5,
        }
    )  # fmt: skip
    assert found.settings == {
        "transaction_header": False, "flush_interval": 0.01, "batch_events": 10_000, "body_bytes": 5,
    }  # fmt: skip
    assert found.masking == {"headers": ["a", "b"]}


OLD = b"""from moesifwsgi import MoesifMiddleware

moesif_settings = {
    "APPLICATION_ID": "x",
    "LOG_BODY": True,
    "SKIP": should_skip,
    "EVENT_WORKER_COUNT": 2,
    "DISABLED_TRANSACTION_ID": False,
    "REQUEST_BODY_MASKS": ["pin"],
}
app.wsgi_app = MoesifMiddleware(app.wsgi_app, moesif_settings)
MIDDLEWARE = ["moesifdjango.middleware.moesif_middleware"]
"""
NEW = b"""from moesif_middleware import Moesif
from moesif_middleware.wsgi import MoesifMiddleware

moesif_settings = { "MASKING": {"extra_names": [*["pin"]]},
    "APPLICATION_ID": "x",
    "CAPTURE_BODY": True,
    # called with the request and the response
    "SKIP": should_skip,
    # EVENT_WORKER_COUNT: one thread delivers
    "TRANSACTION_HEADER": not False,
}
app.wsgi_app = MoesifMiddleware(app.wsgi_app, Moesif(moesif_settings))
MIDDLEWARE = ["moesif_middleware.django.MoesifMiddleware"]
"""


def test_migrate_rewrites_what_it_can_and_says_the_rest() -> None:
    """Imports, keys, calls and the name in MIDDLEWARE; other files stay."""
    assert migrate(OLD).decode() == NEW.decode()
    assert migrate(NEW) == NEW
    assert migrate(b"APPLICATION_ID = {'APPLICATION_ID': 1}\n") == b"APPLICATION_ID = {'APPLICATION_ID': 1}\n"
    asgi = b"from moesifasgi import MoesifMiddleware\napp.add_middleware(MoesifMiddleware, settings=conf)\n"
    assert b"app.add_middleware(MoesifMiddleware, moesif=Moesif(conf))" in migrate(asgi)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "try:\n    from moesifasgi import MoesifMiddleware\nexcept ImportError:\n    raise\n",
            (
                "try:\n    from moesif_middleware import Moesif\n    "
                "from moesif_middleware.asgi import MoesifMiddleware\n"
                "except ImportError:\n    raise\n"
            ),
        ),
        (
            "import os; from moesifwsgi import MoesifMiddleware\n",
            "import os; from moesif_middleware import Moesif; from moesif_middleware.wsgi import MoesifMiddleware\n",
        ),
        (
            "import json, moesifasgi\napp = moesifasgi.MoesifMiddleware(app, conf)\n",
            (
                "from moesif_middleware import Moesif\nimport json\nimport moesif_middleware.asgi as moesifasgi\n"
                "app = moesifasgi.MoesifMiddleware(app, Moesif(conf))\n"
            ),
        ),
        (
            "import moesifasgi as m\nadd(m.MoesifMiddleware, settings = (conf))\n",
            (
                "from moesif_middleware import Moesif\nimport moesif_middleware.asgi as m\n"
                "add(m.MoesifMiddleware, moesif = (Moesif(conf)))\n"
            ),
        ),
        (
            'import moesifasgi as m\nadd(m.MoesifMiddleware, settings={"APPLICATION_ID": "x", "LOG_BODY": True})\n',
            (
                "from moesif_middleware import Moesif\nimport moesif_middleware.asgi as m\n"
                'add(m.MoesifMiddleware, moesif=Moesif({"APPLICATION_ID": "x", "CAPTURE_BODY": True}))\n'
            ),
        ),
    ],
)
def test_migrate_keeps_the_shape_of_the_file(old: str, new: str) -> None:
    """Blocks, several statements a line, imports of the module, parentheses, settings where they are used."""
    assert migrate(old.encode()).decode() == new


def test_migrate_names_what_it_leaves(tmp_path: Path) -> None:
    """Keys outside a dictionary's display are not rewritten, and so are not to be forgotten."""
    file = tmp_path / "app.py"
    file.write_text('import moesifasgi\ns = dict(APPLICATION_ID="x", LOG_BODY=True)\ns["USE_CELERY"] = s["DEBUG"]\n')
    command = [sys.executable, "-m", "moesif_middleware", "migrate", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [
        f"{file}: by hand, about line 3 of the new file: LOG_BODY is now capture_body",
        (
            f"{file}: by hand, about line 4 of the new file: USE_CELERY has no effect any more:"
            " the delivery thread needs no Celery"
        ),
    ]


def test_the_command_shows_a_diff_and_writes_nothing(tmp_path: Path) -> None:
    """Exit status 0 with a diff, 1 with nothing to do."""
    file = tmp_path / "app.py"
    file.write_bytes(OLD)
    command = [sys.executable, "-m", "moesif_middleware", "migrate", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert '-    "LOG_BODY": True,\n+    "CAPTURE_BODY": True,\n' in done.stdout
    assert file.read_bytes() == OLD
    file.write_bytes(b"x = 1\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
