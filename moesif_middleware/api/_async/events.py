"""Events and the properties that can be searched (reference, "Management API v1", Metrics and Properties)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Unpack

from ..calls import Moment
from ..search import Clause, CountAnswer, EventSearch, Pages, Search, Window, last_day, search_body
from ..types import EventResponseDTO
from .group import AsyncGroup

Document = dict[str, Any]


class AsyncEvents(AsyncGroup):
    """API calls and user actions, as they are stored."""

    async def search(self, body: Clause | None = None, **search: Unpack[Search]) -> EventSearch:
        """Return one page of hits and the aggregations. Scope ``read:events``."""
        parts = search_body(body, search)
        return await self._call(EventSearch, "POST /search/~/search/events", parts, repeatable=True, **last_day(search))

    async def iterate(self, body: Clause | None = None, **search: Unpack[Search]) -> AsyncIterator[EventResponseDTO]:
        """Yield every hit, newest first unless sorted, ``size`` of them per request. Scope ``read:events``."""
        pages = Pages(body, search, last_day(search), sort={"request.time": "desc"}, now=time.time())
        operation = "POST /search/~/search/events"
        while hits := pages.turn(await self._call(EventSearch, operation, pages.body, repeatable=True, **pages.window)):
            for hit in hits:
                yield hit

    async def count(
        self,
        body: Clause | None = None,
        *,
        where: Clause | None = None,
        track_total_hits: bool | None = None,
        **window: Unpack[Window],
    ) -> CountAnswer:
        """Return how many events match. Scope ``read:events``."""
        parts = search_body(body, {} if where is None else {"where": where})
        parameters = last_day(window) | {"track_total_hits": track_total_hits}
        return await self._call(CountAnswer, "POST /search/~/count/events", parts, repeatable=True, **parameters)

    async def get(self, event_id: str, *, event_time: Moment, app_id: str | None = None) -> EventResponseDTO:
        """Return one event; ``event_time`` says where to look for it. Scope ``read:events``."""
        return await self._call(
            EventResponseDTO, "GET /search/~/events/{id}", id=event_id, event_time=event_time, app_id=app_id
        )


class AsyncProperties(AsyncGroup):
    """The names of the fields that were seen, with their types, per kind of document."""

    async def of_events(
        self, *, from_: Moment | None = None, to: Moment | None = None, app_id: str | None = None
    ) -> Document:
        """Return the properties of Events. Scope ``read:properties``."""
        return await self._call(Document, "GET /search/~/mappings/events/properties", app_id=app_id, from_=from_, to=to)

    async def of_users(self, *, app_id: str | None = None) -> Document:
        """Return the properties of Users. Scope ``read:users``."""
        return await self._call(Document, "GET /search/~/mappings/users/properties", app_id=app_id)

    async def of_companies(self, *, app_id: str | None = None) -> Document:
        """Return the properties of Companies. Scope ``read:company_properties``."""
        return await self._call(Document, "GET /search/~/mappings/companies/properties", app_id=app_id)

    async def of_user_metrics(self, *, from_: Moment | None = None, app_id: str | None = None) -> Document:
        """Return the properties of UserMetrics. Scope ``read:users``."""
        return await self._call(Document, "GET /search/~/mappings/usermetrics/properties", app_id=app_id, from_=from_)

    async def of_company_metrics(self, *, from_: Moment | None = None, app_id: str | None = None) -> Document:
        """Return the properties of CompanyMetrics. Scope ``read:companies``."""
        return await self._call(
            Document, "GET /search/~/mappings/companymetrics/properties", app_id=app_id, from_=from_
        )

    async def of_request_bodies(
        self,
        *,
        from_: Moment,
        to: Moment,
        include_values: bool = False,
        key_path: str | None = None,
        app_id: str | None = None,
    ) -> Document:
        """Return the properties of Events Request Body. Scope ``read:request_body_properties``."""
        return await self._call(
            Document,
            "GET /search/~/mappings/events/request/body/properties",
            app_id=app_id,
            from_=from_,
            to=to,
            include_values=include_values,
            key_path=key_path,
        )

    async def of_response_bodies(
        self,
        *,
        from_: Moment,
        to: Moment,
        include_values: bool = False,
        key_path: str | None = None,
        app_id: str | None = None,
    ) -> Document:
        """Return the properties of Events Response Body. Scope ``read:response_body_properties``."""
        return await self._call(
            Document,
            "GET /search/~/mappings/events/response/body/properties",
            app_id=app_id,
            from_=from_,
            to=to,
            include_values=include_values,
            key_path=key_path,
        )
