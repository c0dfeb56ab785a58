"""What the page changes, under ``/_page/api/``: events that are deleted by a filter, governance rules, and their trial.

The calls take JSON only and the guard refuses other origins, so that no other page can make a browser send them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import checks
from .calls import Handler
from .context import CollectorContext
from .documents import posted
from .page_answers import API, SECURITY_HEADERS, answer, application, listing
from .refusals import Refusal
from .routes.governance import RULE, RULES, list_rules
from .trial import Trial

MOST_DELETED: Final = 500
"""Events that one call deletes; the page calls again while there are more."""

MOST_TRIED: Final = 1_000
"""Recorded events that a rule is tried on."""

_TRIAL: Final = checks.Fields({"rule": RULE, "event": checks.text})

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(context: CollectorContext) -> list[Route]:
    """Return the routes."""
    editing = Editing(context)
    rules, rule = f"{API}/rules", f"{API}/rules/{{id}}"
    return [
        Route(f"{API}/events", editing.delete_events, methods=["DELETE"]),
        Route(f"{API}/trial", editing.trial, methods=["POST"]),
        Route(rules, editing.governed(list_rules), methods=["GET"]),
        Route(rules, editing.governed(RULES.create), methods=["POST"]),
        Route(rule, editing.governed(RULES.update), methods=["POST"]),
        Route(rule, editing.governed(RULES.delete), methods=["DELETE"]),
    ]


class Editing:
    """The endpoints."""

    def __init__(self, context: CollectorContext) -> None:
        self._context = context

    async def delete_events(self, request: Request) -> Response:
        """Delete events that pass the filter, which must not be empty: ``deleted``, ``more`` when some are left."""
        _require_json(request)
        asked = listing(request, self._context)
        if not asked.qualifiers:
            raise Refusal(400, "q: must name what is deleted; since:30d is about everything", SECURITY_HEADERS)
        places, more = await run_in_threadpool(asked.places, MOST_DELETED)
        delete = self._context.store.delete
        done = [asyncio.wrap_future(delete(asked.app, "events", key, time_ms)) for key, time_ms in places]
        return answer({"deleted": sum(await asyncio.gather(*done)), "more": more})

    def governed(self, handler: Handler) -> Endpoint:
        """Return a call of the Management API as one of the page, which needs no key."""

        async def endpoint(request: Request) -> Response:
            if request.method != "GET":
                _require_json(request)
            found = await handler(request, self._context, application(request, self._context))
            found.headers.update({**SECURITY_HEADERS, "Cache-Control": "no-store"})
            return found

        return endpoint

    async def trial(self, request: Request) -> Response:
        """Answer what ``rule`` would do: to the event with the id ``event``, else to those that pass the filter.

        Without ``rule`` the event is explained by what is in force.
        """
        _require_json(request)
        asked = listing(request, self._context)
        body: Any = await posted(request)
        _TRIAL(body)
        trial = Trial.of(await self._context.feeds.served(asked.app), body.get("rule"))
        if body.get("event") is None:
            return answer(await run_in_threadpool(lambda: trial.shadowed(asked.requests(MOST_TRIED))))
        found = await run_in_threadpool(self._context.store.get, asked.app, "events", body["event"])
        if found is None:
            raise Refusal(404, "no event of this application has that id; it may have expired", SECURITY_HEADERS)
        return answer(trial.explained(found))


def _require_json(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "the content type is application/json", SECURITY_HEADERS)
