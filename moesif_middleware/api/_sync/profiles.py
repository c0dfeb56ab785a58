# Generated from _async/profiles.py by python -m scripts.unasync; do not edit.
"""Users, companies and subscriptions (reference, "Management API v1", the groups of these names)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import NoneType
from typing import Unpack

from ...models import Company, Subscription, User
from ..search import Clause, CompanySearch, CountAnswer, Pages, Search, UserSearch, search_body, window
from ..types import (
    AddSubscriptionDTO,
    CompanyResponseDTO,
    CompanyUpdateDTO,
    SubscriptionDTO,
    UserResponseDTO,
    UserUpdateDTO,
)
from .group import Group


class Users(Group):
    """People and keys that call the API. Updates merge into what is stored."""

    def update(self, user: User | UserUpdateDTO, *, app_id: str | None = None) -> UserResponseDTO:
        """Update a User. Scope ``create:users``, ``update:users``."""
        return self._call(UserResponseDTO, "POST /search/~/users", user, repeatable=True, app_id=app_id)

    def update_batch(self, users: Iterable[User | UserUpdateDTO], *, app_id: str | None = None) -> UserResponseDTO:
        """Update Users in Batch. Scope ``create:users``, ``update:users``."""
        return self._call(UserResponseDTO, "POST /search/~/users/batch", list(users), repeatable=True, app_id=app_id)

    def get(self, user_id: str, *, app_id: str | None = None) -> UserResponseDTO:
        """Get a User. Scope ``read:users``."""
        return self._call(UserResponseDTO, "GET /search/~/users/{id}", app_id=app_id, id=user_id)

    def delete(self, user_id: str, *, delete_events: bool = False, app_id: str | None = None) -> None:
        """Delete a User. Scope ``delete:users``."""
        return self._call(
            NoneType, "DELETE /search/~/users/{id}", app_id=app_id, id=user_id, delete_events=delete_events
        )

    def search(self, body: Clause | None = None, **search: Unpack[Search]) -> UserSearch:
        """Return one page of users, by their fields and their metrics in a time. Scope ``read:users``."""
        parts = search_body(body, search)
        return self._call(
            UserSearch, "POST /search/~/search/usermetrics/users", parts, repeatable=True, **window(search)
        )

    def iterate(self, body: Clause | None = None, **search: Unpack[Search]) -> Iterator[UserResponseDTO]:
        """Yield every hit, by ``_id`` unless sorted, ``size`` of them per request. Scope ``read:users``."""
        pages = Pages(body, search, window(search), sort={"_id": "asc"}, now=time.time())
        operation = "POST /search/~/search/usermetrics/users"
        while hits := pages.turn(self._call(UserSearch, operation, pages.body, repeatable=True, **pages.window)):
            yield from hits

    def count(
        self, body: Clause | None = None, *, where: Clause | None = None, app_id: str | None = None
    ) -> CountAnswer:
        """Return how many users match. Scope ``read:users``."""
        parts = search_body(body, {} if where is None else {"where": where})
        return self._call(CountAnswer, "POST /search/~/count/users", parts, repeatable=True, app_id=app_id)


class Companies(Group):
    """Accounts that users belong to. Updates merge into what is stored."""

    def update(self, company: Company | CompanyUpdateDTO, *, app_id: str | None = None) -> CompanyResponseDTO:
        """Update a Company. Scope ``create:companies``, ``update:companies``."""
        return self._call(CompanyResponseDTO, "POST /search/~/companies", company, repeatable=True, app_id=app_id)

    def update_batch(
        self, companies: Iterable[Company | CompanyUpdateDTO], *, app_id: str | None = None
    ) -> CompanyResponseDTO:
        """Update Companies in Batch. Scope ``create:companies``, ``update:companies``."""
        return self._call(
            CompanyResponseDTO, "POST /search/~/companies/batch", list(companies), repeatable=True, app_id=app_id
        )

    def get(self, company_id: str, *, app_id: str | None = None) -> CompanyResponseDTO:
        """Get a Company. Scope ``read:companies``."""
        return self._call(CompanyResponseDTO, "GET /search/~/companies/{id}", app_id=app_id, id=company_id)

    def delete(self, company_id: str, *, delete_events: bool = False, app_id: str | None = None) -> None:
        """Delete a Company. Scope ``delete:companies``."""
        return self._call(
            NoneType, "DELETE /search/~/companies/{id}", app_id=app_id, id=company_id, delete_events=delete_events
        )

    def search(self, body: Clause | None = None, **search: Unpack[Search]) -> CompanySearch:
        """Return one page of companies, by their fields and their metrics in a time. Scope ``read:companies``."""
        parts = search_body(body, search)
        return self._call(
            CompanySearch, "POST /search/~/search/companymetrics/companies", parts, repeatable=True, **window(search)
        )

    def iterate(self, body: Clause | None = None, **search: Unpack[Search]) -> Iterator[CompanyResponseDTO]:
        """Yield every hit, by ``_id`` unless sorted, ``size`` of them per request. Scope ``read:companies``."""
        pages = Pages(body, search, window(search), sort={"_id": "asc"}, now=time.time())
        operation = "POST /search/~/search/companymetrics/companies"
        while hits := pages.turn(self._call(CompanySearch, operation, pages.body, repeatable=True, **pages.window)):
            yield from hits

    def count(
        self, body: Clause | None = None, *, where: Clause | None = None, app_id: str | None = None
    ) -> CountAnswer:
        """Return how many companies match. Scope ``read:companies``."""
        parts = search_body(body, {} if where is None else {"where": where})
        return self._call(CountAnswer, "POST /search/~/count/companies", parts, repeatable=True, app_id=app_id)


class Subscriptions(Group):
    """What companies subscribed to. Creating one that exists merges into it."""

    def create(self, subscription: Subscription | AddSubscriptionDTO, *, app_id: str | None = None) -> SubscriptionDTO:
        """Create or Update a Subscription. Scope ``create:subscriptions``, ``update:subscriptions``."""
        return self._call(SubscriptionDTO, "POST /search/~/subscriptions", subscription, repeatable=True, app_id=app_id)

    def create_batch(
        self, subscriptions: Iterable[Subscription | AddSubscriptionDTO], *, app_id: str | None = None
    ) -> SubscriptionDTO:
        """Create or Update Subscriptions in Batch. Scope ``create:subscriptions``, ``update:subscriptions``."""
        return self._call(
            SubscriptionDTO, "POST /search/~/subscriptions/batch", list(subscriptions), repeatable=True, app_id=app_id
        )

    def get(self, subscription_id: str, *, app_id: str | None = None) -> SubscriptionDTO:
        """Get a Subscription. Scope ``read:subscriptions``."""
        return self._call(SubscriptionDTO, "GET /search/~/subscriptions/{id}", app_id=app_id, id=subscription_id)

    def of_company(self, company_id: str, *, app_id: str | None = None) -> CompanyResponseDTO:
        """Get the Subscriptions of a Company. Scope ``read:companies``."""
        return self._call(
            CompanyResponseDTO, "GET /search/~/companies/{id}/subscriptions", app_id=app_id, id=company_id
        )
