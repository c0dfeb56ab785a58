"""The collector as one ASGI application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from .context import CollectorContext
from .faults import FaultSwitch
from .guard import Guard
from .membership import keep_membership
from .page import page_routes
from .rate import CalendarRate
from .refusals import HANDLERS, on_http
from .retention import keep_retaining
from .settings import CollectorSettings
from .stores import Store
from .stores.opening import open_store
from .table import api_routes


def create_app(
    settings: CollectorSettings, store: Store | None = None, clock: Callable[[], float] = time.time
) -> Starlette:
    """Return the application. ``store`` is used instead of the one that ``settings.store`` names; it is closed with it.

    ``clock`` gives the seconds since the epoch, by which events are late, profiles are modified and old events deleted.
    ``app.state.context`` is the CollectorContext. Raises ConfigurationError and StoreUnavailable.
    """
    store = store or open_store(settings.store)
    context = CollectorContext(
        store, settings.apps, settings.management_keys, rate=CalendarRate(clock=clock), clock=clock
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001 - Starlette's signature
        tasks = [
            asyncio.create_task(keep_retaining(store, settings.apps, settings.retention, clock)),
            asyncio.create_task(keep_membership(context, settings.cohorts_every)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            context.store.close()

    middleware = [Middleware(Guard, allowed_hosts=settings.allowed_hosts, token=settings.token)]
    if settings.faults or settings.latency:
        middleware.append(Middleware(FaultSwitch, faults=settings.faults, latency=settings.latency))
    app = Starlette(
        routes=[*api_routes(), *page_routes(context)],
        middleware=middleware,
        exception_handlers={**HANDLERS, HTTPException: on_http},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.context = context
    return app
