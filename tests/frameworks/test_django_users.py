"""Django's user and session in the event, without a query that the application did not make itself."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from werkzeug.test import Client as WerkzeugClient

from moesif_middleware.testing import Recorder, recording
from moesif_middleware.wsgi import MoesifMiddleware as WsgiMiddleware

from .test_django import urlpatterns

assert urlpatterns  # of the module that configures Django
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
OURS = "moesif_middleware.django.MoesifMiddleware"
RULES = b"""[{"_id": "r", "type": "user", "applied_to": "not_matching", "block": false,
  "response": {"headers": {"X-Rule": "1"}}}]"""


def looks(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"hello {request.user.get_username()}")


def looks_away(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


async def looks_async(request: HttpRequest) -> HttpResponse:
    if hasattr(request, "auser"):
        return HttpResponse(f"hello {(await request.auser()).get_username()}")
    return HttpResponse(f"hello {await sync_to_async(lambda: request.user.get_username())()}")


async def looks_away_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


urls: Any = ModuleType("user_urls")
urls.urlpatterns = [
    path("looks", looks), path("away", looks_away),
    path("looks-async", looks_async), path("away-async", looks_away_async),
]  # fmt: skip


@pytest.fixture
def cookies() -> Iterator[Any]:
    """Tables, a user who is logged in, and her cookies."""
    # Which keeps the database in memory for as long as it is open.
    connection.ensure_connection()
    call_command("migrate", verbosity=0)
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann", password="secret"))
    yield client.cookies
    call_command("flush", verbosity=0, interactive=False)
    connections.close_all()


def ask(where: str, cookies: Any) -> tuple[HttpResponse, int]:
    """Send a request, and return the answer with the number of queries that it took."""
    if not where.endswith("async"):
        client = Client()
        client.cookies = cookies
        with CaptureQueriesContext(connection) as queries:
            return client.get(f"/{where}"), len(queries)

    async def run() -> tuple[HttpResponse, int]:
        asynchronous = AsyncClient()
        asynchronous.cookies = cookies
        counting = await sync_to_async(lambda: CaptureQueriesContext(connection).__enter__())()
        answer = await asynchronous.get(f"/{where}")
        await sync_to_async(counting.__exit__)(None, None, None)
        return answer, await sync_to_async(len)(counting)

    return async_to_sync(run)()


@pytest.mark.parametrize("at", [0, 2], ids=["outermost", "below the authentication"])
@pytest.mark.parametrize("rules", [b"[]", RULES], ids=["no rules", "rules about users"])
@pytest.mark.parametrize("where", ["looks", "away", "looks-async", "away-async"])
def test_the_user_whom_the_application_looked_up_is_the_events(cookies: Any, where: str, rules: bytes, at: int) -> None:
    """And nobody is looked up for the event: as many queries, and the same headers, as without the middleware."""
    with recording() as recorder:
        recorder.use(rules=rules)
        settings = {"ROOT_URLCONF": urls, "MOESIF_MIDDLEWARE": recorder.moesif}
        with override_settings(MIDDLEWARE=MIDDLEWARE, **settings):
            plain, wanted = ask(where, cookies)
        with override_settings(MIDDLEWARE=[*MIDDLEWARE[:at], OURS, *MIDDLEWARE[at:]], **settings):
            seen, made = ask(where, cookies)
        assert (seen.content, seen.headers.get("Vary"), made) == (plain.content, plain.headers.get("Vary"), wanted)
        assert wanted == (2 if where.startswith("looks") else 0)
        check(recorder, where, cookies)


def check(recorder: Recorder, where: str, cookies: Any) -> None:
    """Assert that the event has the user when the view asked for her, and a digest of the session in any case."""
    (event,) = recorder.events
    assert event.get("user_id") == ("ann" if where.startswith("looks") else None)
    assert event["session_token"] == sha256(cookies["sessionid"].value.encode()).hexdigest()
    assert recorder.moesif.stats()["errors"] == {}


def test_the_middleware_around_django_learns_of_the_user_from_the_one_inside(cookies: Any) -> None:
    """One event, with what only Django knows."""
    with recording() as recorder:
        settings = {"ROOT_URLCONF": urls, "MOESIF_MIDDLEWARE": recorder.moesif, "MIDDLEWARE": [OURS, *MIDDLEWARE]}
        with override_settings(**settings):
            client = WerkzeugClient(WsgiMiddleware(WSGIHandler(), recorder.moesif))
            client.set_cookie("sessionid", cookies["sessionid"].value, domain="localhost")
            assert client.get("/looks", buffered=True).text == "hello ann"
        check(recorder, "looks", cookies)
        assert recorder.events[0]["metadata"]["route"] == "/looks"


def looks_first(get_response: Any) -> Any:
    """Look at the user before what stands below, as a middleware of the application may."""

    def serve(request: HttpRequest) -> HttpResponse:
        assert request.user.is_authenticated
        return get_response(request)  # type: ignore[no-any-return]  # Django's own

    return serve


def test_a_rule_about_a_user_whom_something_looked_up_before_the_middleware_is_applied_to_her(cookies: Any) -> None:
    """The view does not run."""
    rules = b'[{"_id": "r", "type": "user", "block": true, "response": {"status": 402}}]'
    middleware = [*MIDDLEWARE, f"{__name__}.looks_first", OURS]
    with recording() as recorder:
        recorder.use(rules=rules, config=b'{"user_rules": {"ann": [{"rules": "r"}]}}')
        with override_settings(ROOT_URLCONF=urls, MOESIF_MIDDLEWARE=recorder.moesif, MIDDLEWARE=middleware):
            answer, _ = ask("away", cookies)
        assert answer.status_code == 402
        assert recorder.events[0]["blocked_by"] == "r"
