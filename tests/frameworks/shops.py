"""The same small shop in every framework, so that the same questions can be asked of each adapter.

``POST /echo`` answers what it is sent; ``GET /things/5`` JSON; ``/stream`` two chunks, the second once the first has
arrived; ``/fail`` an exception; ``/who/NAME`` says whose the request is. What runs is noted in the stage's log.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import socket
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from moesif_middleware import Moesif, identify, note_exception, set_route
from moesif_middleware.asgi import MoesifMiddleware as Asgi
from moesif_middleware.wsgi import MoesifMiddleware as Wsgi

from .doors import Door, Stage, asgi_door, socket_door, wsgi_door

Handles = Sequence[Moesif]
JSON = "application/json"
THING = {"id": 5, "note": "a note"}


def thing(stage: Stage) -> bytes:
    stage.log.append("thing")
    return json.dumps(THING).encode()


def fail(stage: Stage) -> None:
    stage.log.append("fail")
    raise ZeroDivisionError("a message that may hold a secret")


def who(stage: Stage, name: str) -> bytes:
    """Say whose the request is, while others run."""
    assert identify(user_id=name) or "bare" in stage.log
    time.sleep(0.001)
    return json.dumps(name).encode()


async def who_async(stage: Stage, name: str) -> bytes:
    assert identify(user_id=name) or "bare" in stage.log
    await asyncio.sleep(0.001)
    return json.dumps(name).encode()


def chunks(stage: Stage) -> Iterator[bytes]:
    try:
        yield b"one"
        yield stage.wait()
    finally:
        stage.log.append("closed")


async def chunks_async(stage: Stage) -> AsyncIterator[bytes]:
    try:
        yield b"one"
        yield await stage.await_()
    finally:
        stage.log.append("closed")


def bare_asgi(stage: Stage, handles: Handles) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError("no lifespan here")
        path = scope["path"]
        body = bytearray()
        more = path == "/echo"
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        pieces = [bytes(body)]
        if path == "/things/5":
            pieces = [thing(stage)]
        if path == "/fail":
            fail(stage)
        if path.startswith("/who/"):
            pieces = [await who_async(stage, path[5:])]
        status = 404 if path == "/nowhere" else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", JSON.encode())]})
        if path == "/stream":
            async with contextlib.aclosing(chunks_async(stage)) as made:  # type: ignore[type-var]
                async for chunk in made:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"".join(pieces)})

    return wrapped(Asgi, app, handles)


def wrapped(middleware: Any, app: Any, handles: Handles) -> Any:
    """Put a middleware around an application for each handle."""
    for handle in handles:
        app = middleware(app, handle)
    return app


def starlette(stage: Stage, handles: Handles) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def echo(request: Any) -> Response:
        return Response(await request.body(), media_type=JSON)

    async def who(request: Any) -> Response:
        return Response(await who_async(stage, request.path_params["name"]), media_type=JSON)

    routes = [
        Route("/echo", echo, methods=["POST"]),
        Route("/things/{id:int}", lambda request: Response(thing(stage), media_type=JSON)),
        Route("/stream", lambda request: StreamingResponse(chunks_async(stage))),
        Route("/fail", lambda request: fail(stage)),
        Route("/who/{name}", who),
    ]
    app = Starlette(routes=routes)
    for handle in handles:
        app.add_middleware(Asgi, moesif=handle)
    return app


def fastapi(stage: Stage, handles: Handles) -> Any:
    from fastapi import FastAPI, Request
    from fastapi.responses import Response, StreamingResponse

    app = FastAPI()
    for handle in handles:
        app.add_middleware(Asgi, moesif=handle)

    async def echo(request: Request) -> Response:
        return Response(await request.body(), media_type=JSON)

    def get_thing(id: int) -> Response:  # noqa: A002
        return Response(thing(stage), media_type=JSON)

    def get_who(name: str) -> Response:
        return Response(who(stage, name), media_type=JSON)

    echo.__annotations__["request"] = Request
    app.add_api_route("/echo", echo, methods=["POST"], response_model=None)
    app.add_api_route("/things/{id}", get_thing, response_model=None)
    app.add_api_route("/stream", lambda: StreamingResponse(chunks_async(stage)), response_model=None)
    app.add_api_route("/fail", lambda: fail(stage), response_model=None)
    app.add_api_route("/who/{name}", get_who, response_model=None)
    return app


def litestar(stage: Stage, handles: Handles) -> Any:
    from litestar import Litestar, Request, Response, get, post
    from litestar.response import Stream

    async def echo(request: Request) -> Response:
        return Response(await request.body(), media_type=JSON)

    async def get_thing() -> Response:
        return Response(thing(stage), media_type=JSON)

    async def stream() -> Stream:
        return Stream(chunks_async(stage))

    async def get_fail() -> None:
        fail(stage)

    async def get_who(request: Request) -> Response:
        return Response(await who_async(stage, request.path_params["name"]), media_type=JSON)

    routes = {
        get("/things/{id:int}"): get_thing, get("/stream"): stream, get("/fail"): get_fail,
        get("/who/{name:str}"): get_who, post("/echo", status_code=200): echo,
    }  # fmt: skip
    handlers = []
    for decorate, function in routes.items():
        # The names in this function's own space, which Litestar looks for in the module's.
        function.__annotations__ = {
            name: {"Request": Request, "Response": Response, "Stream": Stream, "None": None}[value]
            for name, value in function.__annotations__.items()
        }
        handlers.append(decorate(function))
    after = [lambda error, scope: note_exception(error)]
    app = Litestar(handlers, after_exception=after, openapi_config=None, logging_config=None)
    return wrapped(Asgi, app, handles)


def quart(stage: Stage, handles: Handles) -> Any:
    from quart import Quart, Response, got_request_exception, request

    app = Quart(__name__)

    @app.post("/echo")
    async def echo() -> Any:
        return Response(await request.get_data(), mimetype=JSON)

    @app.get("/things/<int:id>")
    async def get_thing(id: int) -> Any:  # noqa: A002
        return Response(thing(stage), mimetype=JSON)

    @app.get("/stream")
    async def stream() -> Any:
        return chunks_async(stage)

    @app.get("/fail")
    async def get_fail() -> None:
        fail(stage)

    @app.get("/who/<name>")
    async def get_who(name: str) -> Any:
        return Response(await who_async(stage, name), mimetype=JSON)

    @app.before_request
    async def note_route() -> None:
        set_route(getattr(request.url_rule, "rule", None))

    @got_request_exception.connect_via(app)
    async def note_error(sender: Any, exception: BaseException, **_: Any) -> None:
        note_exception(exception)

    app.asgi_app = wrapped(Asgi, app.asgi_app, handles)
    return app


def falcon_asgi(stage: Stage, handles: Handles) -> Any:
    import falcon.asgi

    class Echo:
        async def on_post(self, req: Any, resp: Any) -> None:
            resp.data, resp.content_type = await req.stream.read(), JSON

    class Things:
        async def on_get(self, req: Any, resp: Any, id: int) -> None:  # noqa: A002
            resp.data, resp.content_type = thing(stage), JSON

    class Streams:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.stream = chunks_async(stage)

    class Fail:
        async def on_get(self, req: Any, resp: Any) -> None:
            fail(stage)

    class Who:
        async def on_get(self, req: Any, resp: Any, name: str) -> None:
            resp.data, resp.content_type = await who_async(stage, name), JSON

    class Routes:
        async def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
            set_route(req.uri_template)

    app = falcon.asgi.App(middleware=[Routes()])
    for path, resource in FALCON.items():
        app.add_route(path, {"Echo": Echo, "Things": Things, "Streams": Streams, "Fail": Fail, "Who": Who}[resource]())
    return wrapped(Asgi, app, handles)


FALCON = {
    "/echo": "Echo", "/things/{id:int}": "Things", "/stream": "Streams", "/fail": "Fail", "/who/{name}": "Who",
}  # fmt: skip


def falcon_wsgi(stage: Stage, handles: Handles) -> Any:
    import falcon

    class Echo:
        def on_post(self, req: Any, resp: Any) -> None:
            resp.data, resp.content_type = req.bounded_stream.read(), JSON

    class Things:
        def on_get(self, req: Any, resp: Any, id: int) -> None:  # noqa: A002
            resp.data, resp.content_type = thing(stage), JSON

    class Streams:
        def on_get(self, req: Any, resp: Any) -> None:
            resp.stream = chunks(stage)

    class Fail:
        def on_get(self, req: Any, resp: Any) -> None:
            fail(stage)

    class Who:
        def on_get(self, req: Any, resp: Any, name: str) -> None:
            resp.data, resp.content_type = who(stage, name), JSON

    class Routes:
        def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
            set_route(req.uri_template)

    app = falcon.App(middleware=[Routes()])
    for path, resource in FALCON.items():
        app.add_route(path, {"Echo": Echo, "Things": Things, "Streams": Streams, "Fail": Fail, "Who": Who}[resource]())
    return wrapped(Wsgi, app, handles)


def sanic(stage: Stage, handles: Handles) -> Any:
    from sanic import Sanic
    from sanic.response import raw

    Sanic.test_mode = True
    app = Sanic(f"shop{next(_names)}", configure_logging=False)
    app.config.update(TOUCHUP=False, MOTD=False)

    @app.on_request
    async def note_route(request: Any) -> None:
        set_route(request.route and f"/{request.route.path}")

    @app.signal("http.lifecycle.exception")
    async def note_error(request: Any, exception: BaseException) -> None:
        note_exception(exception)

    @app.post("/echo")
    async def echo(request: Any) -> Any:
        return raw(request.body, content_type=JSON)

    @app.get("/things/<id:int>")
    async def get_thing(request: Any, id: int) -> Any:  # noqa: A002
        return raw(thing(stage), content_type=JSON)

    @app.get("/stream")
    async def stream(request: Any) -> None:
        response = await request.respond(content_type="text/plain")
        async with contextlib.aclosing(chunks_async(stage)) as made:  # type: ignore[type-var]
            async for chunk in made:
                await response.send(chunk)

    @app.get("/fail")
    async def get_fail(request: Any) -> None:
        fail(stage)

    @app.get("/who/<name>")
    async def get_who(request: Any, name: str) -> Any:
        return raw(await who_async(stage, name), content_type=JSON)

    return wrapped(Asgi, app, handles)


_names = iter(range(1_000_000))


def bare_wsgi(stage: Stage, handles: Handles) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/fail":
            fail(stage)
        start_response("404 Not Found" if path == "/nowhere" else "200 OK", [("Content-Type", JSON)])
        if path == "/stream":
            return chunks(stage)
        if path == "/echo":
            return [environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]
        return [who(stage, path[5:]) if path.startswith("/who/") else thing(stage)]

    return wrapped(Wsgi, app, handles)


def flask(stage: Stage, handles: Handles) -> Any:
    from flask import Flask, Response, request

    from moesif_middleware.flask import init_app

    app = Flask(__name__)
    app.add_url_rule("/echo", "echo", lambda: Response(request.get_data(), mimetype=JSON), methods=["POST"])
    app.add_url_rule("/things/<int:id>", "thing", lambda id: Response(thing(stage), mimetype=JSON))  # noqa: A006
    app.add_url_rule("/stream", "stream", lambda: Response(chunks(stage)))
    app.add_url_rule("/fail", "fail", lambda: fail(stage))
    app.add_url_rule("/who/<name>", "who", lambda name: Response(who(stage, name), mimetype=JSON))
    for handle in handles:
        init_app(app, handle)
    return app


def bottle(stage: Stage, handles: Handles) -> Any:
    from bottle import Bottle, HTTPResponse, request, response

    app = Bottle()

    def noting(view: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            try:
                return view(*arguments, **named)
            except HTTPResponse:
                raise
            except Exception as error:
                note_exception(error)
                raise

        return run

    app.install(noting)

    def answer(body: bytes) -> bytes:
        response.content_type = JSON
        return body

    app.route("/echo", "POST", lambda: answer(request.body.read()))
    app.route("/things/<id:int>", "GET", lambda id: answer(thing(stage)))  # noqa: A006
    app.route("/stream", "GET", lambda: chunks(stage))
    app.route("/fail", "GET", lambda: fail(stage))
    app.route("/who/<name>", "GET", lambda name: answer(who(stage, name)))
    return wrapped(Wsgi, app, handles)


def import_quietly(name: str) -> None:
    """Import what imports deprecated things itself, as Pyramid does with pkg_resources and WebOb with cgi."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(name)


def pyramid(stage: Stage, handles: Handles) -> Any:
    import_quietly("pyramid.config")
    from pyramid.config import Configurator
    from pyramid.events import ContextFound
    from pyramid.response import Response

    views: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "echo": ("/echo", lambda request: Response(request.body, content_type=JSON)),
        "thing": ("/things/{id}", lambda request: Response(thing(stage), content_type=JSON)),
        "stream": ("/stream", lambda request: Response(app_iter=chunks(stage), content_type="text/plain")),
        "fail": ("/fail", lambda request: fail(stage)),
        "who": ("/who/{name}", lambda request: Response(who(stage, request.matchdict["name"]), content_type=JSON)),
    }
    with Configurator() as config:
        config.add_subscriber(
            lambda event: set_route(getattr(event.request.matched_route, "pattern", None)), ContextFound
        )
        for name, (path, view) in views.items():
            config.add_route(name, path)
            config.add_view(view, route_name=name)
        return wrapped(Wsgi, config.make_wsgi_app(), handles)


@contextmanager
def django(stage: Stage, handles: Handles, *, asynchronous: bool) -> Iterator[Door]:
    """Serve Django; a second handle is put around it."""
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    from . import django_shop

    own = [handle for handle in handles if handle is handles[0]]
    names = ["moesif_middleware.django.MoesifMiddleware"] * len(own)
    django_shop.stage = stage
    named = {"MOESIF_MIDDLEWARE": handles[0] if handles else None}
    with override_settings(MIDDLEWARE=names, ROOT_URLCONF=django_shop.urls(asynchronous), **named):
        others = [handle for handle in handles if handle is not handles[0]]
        if asynchronous:
            with asgi_door(wrapped(Asgi, ASGIHandler(), others), stage) as door:
                yield door
        else:
            with wsgi_door(wrapped(Wsgi, WSGIHandler(), others), stage) as wsgi:
                yield wsgi


def aiohttp(stage: Stage, handles: Handles) -> AbstractContextManager[Door]:
    """Serve aiohttp.web by its own server."""
    from aiohttp import web

    from moesif_middleware.aiohttp import init_app

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), content_type=JSON)

    async def get_thing(request: web.Request) -> web.Response:
        return web.Response(body=thing(stage), content_type=JSON)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        async with contextlib.aclosing(chunks_async(stage)) as made:  # type: ignore[type-var]
            async for chunk in made:
                await response.write(chunk)
        return response

    async def get_fail(request: web.Request) -> web.Response:
        fail(stage)
        return web.Response()

    async def get_who(request: web.Request) -> web.Response:
        return web.Response(body=await who_async(stage, request.match_info["name"]), content_type=JSON)

    app = web.Application(client_max_size=10_000_000)
    app.router.add_post("/echo", echo)
    app.router.add_get(r"/things/{id:\d+}", get_thing)
    app.router.add_get("/stream", stream)
    app.router.add_get("/fail", get_fail)
    app.router.add_get("/who/{name}", get_who)
    for handle in handles:
        init_app(app, handle)

    async def start(listener: socket.socket) -> Callable[[], Awaitable[None]]:
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        return runner.cleanup

    return socket_door(start, stage)


def tornado(stage: Stage, handles: Handles) -> AbstractContextManager[Door]:
    """Serve Tornado by its own server."""
    from tornado.httpserver import HTTPServer
    from tornado.web import Application, RequestHandler

    from moesif_middleware.tornado import MoesifMiddleware

    class Answers(RequestHandler):
        def answer(self, body: bytes) -> None:
            self.set_header("Content-Type", JSON)
            self.write(body)

    class Echo(Answers):
        def post(self) -> None:
            self.answer(self.request.body)

    class Thing(Answers):
        def get(self, id: str) -> None:  # noqa: A002
            self.answer(thing(stage))

        head = get

    class Streams(Answers):
        async def get(self) -> None:
            async with contextlib.aclosing(chunks_async(stage)) as made:  # type: ignore[type-var]
                async for chunk in made:
                    self.write(chunk)
                    await self.flush()

    class Fail(Answers):
        def get(self) -> None:
            fail(stage)

    class Who(Answers):
        async def get(self, name: str) -> None:
            self.answer(await who_async(stage, name))

    rules: Any = [
        ("/echo", Echo), ("/things/([0-9]+)", Thing), ("/stream", Streams), ("/fail", Fail), ("/who/(.*)", Who),
    ]  # fmt: skip
    app = wrapped(MoesifMiddleware, Application(rules), handles)

    async def start(listener: socket.socket) -> Callable[[], Awaitable[None]]:
        server = HTTPServer(app)
        listener.setblocking(False)
        server.add_sockets([listener])

        async def stop() -> None:
            server.stop()
            await server.close_all_connections()

        return stop

    return socket_door(start, stage)


@dataclass(frozen=True)
class Adapter:
    """A framework with the middleware around its shop."""

    serve: Callable[[Stage, Handles], AbstractContextManager[Door]]
    template: str | None = None
    """The route of /things/5."""
    sees_exceptions: bool = True
    """Whether what an application raises reaches the middleware, or a framework answers it first."""


def by_asgi(make: Callable[[Stage, Handles], Any]) -> Callable[[Stage, Handles], AbstractContextManager[Door]]:
    return lambda stage, handles: asgi_door(make(stage, handles), stage)


def by_wsgi(make: Callable[[Stage, Handles], Any]) -> Callable[[Stage, Handles], AbstractContextManager[Door]]:
    return lambda stage, handles: wsgi_door(make(stage, handles), stage)


ADAPTERS: dict[str, Adapter] = {
    "ASGI": Adapter(by_asgi(bare_asgi)),
    "Starlette": Adapter(by_asgi(starlette), "/things/{id:int}"),
    "FastAPI": Adapter(by_asgi(fastapi), "/things/{id}"),
    "Litestar": Adapter(by_asgi(litestar), "/things/{id}"),
    "Quart": Adapter(by_asgi(quart), "/things/<int:id>"),
    "Falcon ASGI": Adapter(by_asgi(falcon_asgi), "/things/{id:int}", sees_exceptions=False),
    "Sanic": Adapter(by_asgi(sanic), "/things/<id:int>"),
    "Django async": Adapter(lambda stage, handles: django(stage, handles, asynchronous=True), "/things/<int:id>"),
    "WSGI": Adapter(by_wsgi(bare_wsgi)),
    "Flask": Adapter(by_wsgi(flask), "/things/<int:id>"),
    "Falcon WSGI": Adapter(by_wsgi(falcon_wsgi), "/things/{id:int}", sees_exceptions=False),
    "Bottle": Adapter(by_wsgi(bottle), "/things/<id:int>"),
    "Pyramid": Adapter(by_wsgi(pyramid), "/things/{id}"),
    "Django sync": Adapter(lambda stage, handles: django(stage, handles, asynchronous=False), "/things/<int:id>"),
    "aiohttp.web": Adapter(aiohttp, "/things/{id}"),
    "Tornado": Adapter(tornado, "/things/([0-9]+)"),
}
