"""Route templates through everything that is mounted, from what the routers leave behind."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from moesif_middleware.sansio.route import Templates, django_route, environ_route


def one(request: Any) -> PlainTextResponse:
    return PlainTextResponse("")


def two(request: Any) -> PlainTextResponse:
    return PlainTextResponse("")


INNER = Starlette(routes=[Route("/things/{id:int}", one)])
APP = Starlette(
    routes=[Mount("/t/{tenant}", routes=[Mount("/in", app=INNER)]), Route("/a/{x}", two), Route("/b/{x}", two)]
)


@pytest.mark.parametrize("root", ["", "/root"])
@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/t/acme/in/things/5", "/t/{tenant}/in/things/{id:int}"),
        ("/t/acme/in/none", "/t/{tenant}/in/{path}"),
        ("/a/1", "/a/{x}"),
        ("/b/1", "/b/{x}"),
        ("/none", None),
    ],
)
async def test_starlette_templates_name_the_mounts_by_their_templates(root: str, path: str, template: Any) -> None:
    """Parametrised mounts, one endpoint on two paths, and paths that no route has."""
    scope = {
        "type": "http", "method": "GET", "path": root + path, "root_path": root, "headers": [], "query_string": b"",
    }  # fmt: skip

    async def ignore(*_: Any) -> None: ...

    await APP(scope, ignore, ignore)  # type: ignore[arg-type]
    assert Templates().find(scope, APP) == (None if template is None else root + template)


@pytest.mark.parametrize(
    ("route", "script", "template"),
    [
        ("items/<int:pk>/", "", "/items/<int:pk>/"),
        ("items/", "/shop", "/shop/items/"),
        (r"^api/^(?P<year>[^/]+)/$", "", "/api/(?P<year>[^/]+)/"),
        (None, "", None),
    ],
)
def test_django_templates(route: str | None, script: str, template: str | None) -> None:
    """Anchors are no part of the template; the application's root is."""
    assert django_route(route, script) == template


def test_an_environ_without_a_known_framework_has_no_template() -> None:
    """Nothing is guessed from the path."""
    assert environ_route({"PATH_INFO": "/items/5"}) is None
