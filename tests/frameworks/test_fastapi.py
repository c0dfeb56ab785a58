"""FastAPI and Starlette beyond the common questions: refused bodies, background tasks, mounts, context variables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Body, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from moesif_middleware import identify
from moesif_middleware.asgi import MoesifMiddleware
from moesif_middleware.testing import Recorder, recording

said: ContextVar[str] = ContextVar("said")
BY_A_MIDDLEWARE, BY_THE_ENDPOINT = "by a middleware outside", "by the endpoint"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A handle that records."""
    with recording() as made:
        yield made


async def send(app: Any, verb: str, path: str, root_path: str = "", **options: Any) -> httpx.Response:
    """Send one request."""
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return await client.request(verb, path, **options)


async def test_a_refused_body_is_in_the_event_with_the_answer(recorder: Recorder) -> None:
    """422: what the client sent, and what FastAPI says of it."""
    app = FastAPI()
    app.add_middleware(MoesifMiddleware, moesif=recorder.moesif)

    @app.post("/orders")
    async def order(quantity: int = Body(embed=True)) -> int:
        return quantity

    answer = await send(app, "POST", "/orders", json={"quantity": "many"})
    (event,) = recorder.events
    assert (answer.status_code, event["response"]["status"]) == (422, 422)
    assert event["request"]["body"] == {"quantity": "many"}
    assert event["response"]["body"] == answer.json()
    assert event["metadata"]["route"] == "/orders"


async def test_background_tasks_run_after_the_event(recorder: Recorder) -> None:
    """They are no part of its duration: it is there while they run."""
    app = FastAPI()
    app.add_middleware(MoesifMiddleware, moesif=recorder.moesif)
    seen: list[int] = []

    def wait() -> None:
        end = time.monotonic() + 10
        while not (captured := recorder.moesif.stats()["captured"]) and time.monotonic() < end:
            time.sleep(0.005)
        seen.append(captured)

    @app.get("/later")
    async def later(tasks: BackgroundTasks) -> str:
        tasks.add_task(wait)
        return "now"

    later.__annotations__["tasks"] = BackgroundTasks
    await send(app, "GET", "/later")
    assert seen == [1]
    assert len(recorder.events) == 1


def mounted(recorder: Recorder) -> tuple[Any, Any]:
    """Return a FastAPI and a Starlette application, each with an application in an application."""
    inner, router = FastAPI(), APIRouter(prefix="/in/{place}")

    @router.get("/things/{number}")
    def number(place: str, number: int) -> int:
        return number

    inner.include_router(router)
    outer = FastAPI()
    outer.mount("/of/{tenant}", inner)
    outer.add_middleware(MoesifMiddleware, moesif=recorder.moesif)
    route = Route("/in/{place}/things/{number}", lambda request: PlainTextResponse("5"))
    deep = Starlette(routes=[Mount("/of", routes=[Mount("/{tenant}", app=Starlette(routes=[route]))])])
    return outer, MoesifMiddleware(deep, recorder.moesif)


@pytest.mark.parametrize("root", ["", "/v1"])
@pytest.mark.parametrize("kind", [0, 1], ids=["FastAPI", "Starlette"])
async def test_the_route_goes_through_mounts_routers_and_the_root_path(
    recorder: Recorder, kind: int, root: str
) -> None:
    """Whole, as templates; the URI as the client wrote it."""
    path = f"{root}/of/acme/in/berlin/things/5"
    answer = await send(mounted(recorder)[kind], "GET", path, root)
    assert answer.text == "5"
    (event,) = recorder.events
    assert event["metadata"]["route"] == f"{root}/of/{{tenant}}/in/{{place}}/things/{{number}}"
    assert event["request"]["uri"] == f"http://shop{path}"


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_context_variables_are_kept_both_ways(recorder: Recorder, kind: str) -> None:
    """In: what a middleware outside says. Out: what an asynchronous endpoint says, in the same task."""
    app = FastAPI()
    heard: list[str] = []

    def endpoint() -> bool:
        heard.append(said.get())
        said.set(BY_THE_ENDPOINT)
        return identify(user_id="ann")

    async def asynchronous() -> bool:
        return endpoint()

    app.add_api_route("/", asynchronous if kind == "async" else endpoint, response_model=None)
    watched = MoesifMiddleware(app, recorder.moesif)

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        said.set(BY_A_MIDDLEWARE)
        await watched(scope, receive, send)
        heard.append(said.get())

    assert (await send(outside, "GET", "/")).json() is True
    # What runs in a thread has a copy of the context, with the middleware and without.
    assert heard == [BY_A_MIDDLEWARE, BY_THE_ENDPOINT if kind == "async" else BY_A_MIDDLEWARE]
    assert recorder.events[0]["user_id"] == "ann"
