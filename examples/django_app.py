"""A Django application in a single file, with one line of monitoring in MIDDLEWARE.

Run it: ``MOESIF_APPLICATION_ID=... MOESIF_BASE_URI=http://127.0.0.1:9500 gunicorn examples.django_app:application``
or, asynchronous: ``uvicorn examples.django_app:app``
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import django
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from moesif_middleware import identify

settings.configure(
    SECRET_KEY="only-for-this-example",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["moesif_middleware.django.MoesifMiddleware"],
    # The application id and the rest come from the environment; keys would be those of docs/settings.md in capitals.
    MOESIF_MIDDLEWARE={"SKIP": lambda request, response: request.path == "/ping/"},
    INSTALLED_APPS=["moesif_middleware.django.MoesifConfig"],
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402  # Django wants its settings first
from django.urls import path  # noqa: E402

from moesif_middleware.django import get_asgi_application  # noqa: E402


def book(request: HttpRequest, number: int) -> HttpResponse:
    """Answer JSON."""
    if number > 100:
        raise Http404
    return JsonResponse({"id": number, "title": f"Book {number}"})


def login(request: HttpRequest) -> HttpResponse:
    """Take JSON; its customer becomes the event's user."""
    given = json.loads(request.body)
    identify(user_id=given["name"])
    return JsonResponse({"welcome": given["name"], "session_token": "never leaves"})


def report(request: HttpRequest) -> HttpResponse:
    """Answer a stream of lines."""

    def rows() -> Iterator[str]:
        for number in range(5):
            yield f'{{"row": {number}}}\n'

    return StreamingHttpResponse(rows(), content_type="application/x-ndjson")


def ping(request: HttpRequest) -> HttpResponse:
    """Say that all is well, which makes no event."""
    return HttpResponse("pong")


def error(request: HttpRequest) -> HttpResponse:
    """Fail."""
    raise RuntimeError("this view always fails")


urlpatterns = [
    path("books/<int:number>/", book),
    path("login/", login),
    path("report/", report),
    path("ping/", ping),
    path("error/", error),
]

application: Any = get_wsgi_application()
app: Any = get_asgi_application()
