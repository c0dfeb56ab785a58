"""The shop of ``shops.py`` as Django has it, with synchronous and with asynchronous views."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from . import shops, test_django
from .doors import Stage

assert test_django.urlpatterns  # which configures Django
stage = Stage()
"""The stage of the test that runs."""
JSON = shops.JSON


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=JSON)


def thing(request: HttpRequest, id: int) -> HttpResponse:  # noqa: A002
    return HttpResponse(shops.thing(stage), content_type=JSON)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(shops.chunks(stage))


def fail(request: HttpRequest) -> None:
    shops.fail(stage)


def who(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(shops.who(stage, name), content_type=JSON)


async def aecho(request: HttpRequest) -> HttpResponse:
    return echo(request)


async def athing(request: HttpRequest, id: int) -> HttpResponse:  # noqa: A002
    return thing(request, id)


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(shops.chunks_async(stage))


async def afail(request: HttpRequest) -> None:
    shops.fail(stage)


async def awho(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(await shops.who_async(stage, name), content_type=JSON)


PATHS = ("echo", "things/<int:id>", "stream", "fail", "who/<name>")


def urls(asynchronous: bool) -> Any:
    """Return a URL configuration."""
    views: Any = (aecho, athing, astream, afail, awho) if asynchronous else (echo, thing, stream, fail, who)
    found: Any = ModuleType("shop_urls")
    found.urlpatterns = [path(where, view) for where, view in zip(PATHS, views, strict=True)]
    return found
