"""The route template of a request, such as ``/items/{id}``, from what each framework leaves behind.

The template is written as its framework writes it, with the prefix under which the application is mounted in front
(OpenTelemetry's semantic conventions, "http.route": the application root belongs to it). It has few values where paths
have many, which is what makes it the thing to group by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_DEPTH = 16
"""Applications mounted in one another that are followed."""
_MISSES = 4_096
"""Endpoints that no route names, remembered at most."""


def django_route(route: str | None, script_name: str = "") -> str | None:
    """Return the template of ``resolver_match.route``, which has no slash in front and may be regular expressions."""
    if route is None:
        return None
    # include() joins patterns as they are, so that each part's anchor stands in the middle of the whole.
    plain = route.removeprefix("^").replace("/^", "/")
    for anchor in ("$", r"\Z"):
        plain = plain.removesuffix(anchor)
    return f"{script_name.rstrip('/')}/{plain.removeprefix('/')}"


def environ_route(environ: Mapping[str, Any], request: Any = None) -> str | None:
    """Return the template that Flask or Bottle left in the environ, None when neither did.

    ``request`` is the ``werkzeug.request`` of the environ, which Flask takes out again at the end.
    """
    rule = getattr(getattr(request or environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    if rule is None:
        rule = getattr(environ.get("route.handle"), "rule", None)
    if not isinstance(rule, str):
        return None
    return f"{(environ.get('SCRIPT_NAME') or '').rstrip('/')}/{rule.removeprefix('/')}"


class Templates:
    """The templates of a Starlette or FastAPI application, by endpoint, through everything that is mounted in it.

    A router leaves the endpoint in the scope; which templates lead to it is found by walking the routes once, not by
    matching them again for each request.
    """

    def __init__(self) -> None:
        self._app: Any = None
        self._by_endpoint: dict[int, _Known] = {}
        self._misses = 0

    def find(self, scope: Mapping[str, Any], app: Any) -> str | None:
        """Return the template that ``scope`` was routed by, None when it was not.

        ``app`` is the application or router outside of all mounts.
        """
        root = str(scope.get("app_root_path", scope.get("root_path")) or "").rstrip("/")
        template: Any = scope.get("path_template")
        if template is None:
            endpoint = scope.get("endpoint")
            if endpoint is None:
                return None
            template = self._of(endpoint, app, scope, root)
        return f"{root}{template}" if isinstance(template, str) else None

    def _of(self, endpoint: Any, app: Any, scope: Mapping[str, Any], root: str) -> str | None:
        found = self._by_endpoint.get(id(endpoint)) if app is self._app else None
        if found is None or found[0] is not endpoint:
            found = self._learn(endpoint, app)
        templates = found[1]
        if len(templates) > 1:
            whole = str(scope.get("path", ""))
            path = whole.removeprefix(root) if whole.startswith(f"{root}/") else whole
            for template, source in templates.items():
                if re.fullmatch(source, path):
                    return template
        if templates:
            return next(iter(templates))
        # An endpoint of a router that the walk does not know: what it says of itself is better than nothing.
        said = getattr(scope.get("route"), "path", None)
        return said if isinstance(said, str) else None

    def _learn(self, endpoint: Any, app: Any) -> _Known:
        """Walk the routes, which may have grown since; an endpoint that is in none of them is noted as well."""
        if app is not self._app:
            self._app, self._by_endpoint, self._misses = app, {}, 0
        self._misses += 1
        if self._misses > _MISSES:
            return endpoint, {}
        found: dict[int, _Known] = {}
        for target, template, source in _walk(_routes_inside(app), "", "", 0):
            found.setdefault(id(target), (target, {}))[1].setdefault(template, source)
        self._by_endpoint = {id(endpoint): (endpoint, {})} | self._by_endpoint | found
        return self._by_endpoint[id(endpoint)]


_Known = tuple[Any, dict[str, str]]
"""An endpoint, held so that its id stays its own, and its templates with the regular expressions of their paths."""


def _walk(routes: Iterable[Any], prefix: str, pattern: str, depth: int) -> Iterator[tuple[Any, str, str]]:
    """Yield endpoint, template and regular expression of all routes, those in mounted applications too."""
    for route in _spread(routes):
        path = getattr(route, "path", None)
        template = prefix + path if isinstance(path, str) else prefix
        source = pattern + _source(route)
        mounted, inner = getattr(route, "routes", None), getattr(route, "app", None)
        if mounted is None:
            endpoint = getattr(route, "endpoint", None)
            if endpoint is not None:
                yield endpoint, template, source
            continue
        if inner is not None:
            yield inner, f"{template}/{{path}}", f"{source}/.*"
        if depth < _DEPTH:
            yield from _walk(mounted or _routes_inside(inner), template, source, depth + 1)


def _spread(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield the routes, with those of an included router in its place, each with its whole path (FastAPI)."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            for context in contexts():
                yield getattr(context, "starlette_route", None) or context


def _routes_inside(app: Any) -> Iterable[Any]:
    """Return the routes of an application, inside of the middlewares around it."""
    for _ in range(_DEPTH):
        if app is None or getattr(app, "routes", None):
            break
        app = getattr(app, "app", None)
    return getattr(app, "routes", None) or ()


def _source(route: Any) -> str:
    """Return the regular expression of a route's or mount's own part of the path, without names and anchors."""
    found = getattr(getattr(route, "path_regex", None), "pattern", "")
    source = re.sub(r"\(\?P<\w+>", "(?:", found.removeprefix("^").removesuffix("$"))
    return source.removesuffix("/(?:.*)") if getattr(route, "routes", None) is not None else source
