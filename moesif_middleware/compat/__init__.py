"""For those who come from moesifasgi, moesifwsgi or moesifdjango: change the import, keep the settings.

``moesif_middleware.compat.asgi``, ``.wsgi`` and ``.django`` take the vendor's dictionaries and hook signatures as they
are, and say of each key in one DeprecationWarning what it is called now.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from ..outgoing import Capture, OutgoingHooks
from ..runtime.client import Moesif
from ..vendor_keys import advice, translate

Arguments = Callable[[Any, Any], tuple[Any, ...]]
"""From the new request and response to the arguments of an old hook; the response is None before there is one."""

capturing: dict[Moesif, Capture] = {}
"""The handles whose old dictionary asked for outgoing calls, each with what undoes it."""


def open_handle(old: Mapping[str, Any] | None, arguments: Arguments, *, stacklevel: int = 3) -> Moesif:
    """Return the handle for an old dictionary, and say once of each of its keys what it is called now."""
    old = old or {}
    for name in old:
        said = advice(name)
        if said is not None:
            warnings.warn(f"{said}; see docs/migration.md", DeprecationWarning, stacklevel=stacklevel)
    found = translate(old)
    settings = dict(found.settings)
    if found.masking:
        settings["masking"] = {name: tuple(values) for name, values in found.masking.items()}
    settings.update(_hooks(found.hooks, arguments))
    moesif = Moesif.shared(settings)
    if found.outgoing.get("CAPTURE_OUTGOING_REQUESTS") and moesif not in capturing:
        hooks = {
            name.removesuffix("_OUTGOING").lower(): hook
            for name, hook in found.outgoing.items()
            if name not in {"CAPTURE_OUTGOING_REQUESTS", "LOG_BODY_OUTGOING"}
        }
        bodies = bool(found.outgoing.get("LOG_BODY_OUTGOING", True))
        capturing[moesif] = moesif.capture_outgoing(["requests"], hooks=OutgoingHooks(**hooks), bodies=bodies)
    return moesif


def _hooks(old: Mapping[str, Callable[..., Any]], arguments: Arguments) -> dict[str, Any]:
    """Return new hooks that call the old ones with the old arguments."""
    found: dict[str, Any] = {}
    for name, hook in old.items():
        adapted = OldHook(hook, arguments)
        found[name.lower()] = adapted if name in {"SKIP", "GET_METADATA"} else Identifying(adapted, name)
    if found:
        # The identity is asked for again after the response, which is done only for handles with a hook of that time.
        found.setdefault("skip", _never)
    return found


def _never(request: Any, response: Any) -> bool:  # noqa: ARG001  # the signature of skip
    return False


class OldHook:
    """An old hook, called with its old arguments: as many of them as it takes."""

    def __init__(self, hook: Callable[..., Any], arguments: Arguments) -> None:
        self._hook, self._arguments = hook, arguments
        self._most = _most_arguments(hook)

    def __call__(self, request: Any, response: Any = None) -> Any:
        """Return what the old hook returns."""
        return self._hook(*self._arguments(request, response)[: self._most])


class Identifying:
    """An old hook of identity, which expects a response: asked before without one, and again after when that gave none.

    Rules about users need the answer before the application runs; many old hooks read the request only.
    """

    def __init__(self, hook: OldHook, name: str) -> None:
        self.late = hook
        self._early = name != "GET_SESSION_TOKEN"

    def __call__(self, request: Any) -> Any:
        """Return the id, None when the hook cannot say it yet."""
        if not self._early:
            return None
        try:
            found = self.late(request, None)
        except Exception:  # it is asked again, and an error of then is counted
            return None
        return _or_none(found) if inspect.isawaitable(found) else found


async def _or_none(found: Awaitable[Any]) -> Any:
    try:
        return await found
    except Exception:  # as above
        return None


def _most_arguments(hook: Callable[..., Any]) -> int | None:
    try:
        parameters: Iterable[inspect.Parameter] = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return None
    return sum(kind in {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD} for kind in kinds)


class Updates:
    """The methods that the vendor's middlewares had: all take dictionaries, and queue."""

    moesif: Moesif

    def update_user(self, user: Mapping[str, Any]) -> None:
        """Queue an upsert of a user."""
        self.moesif.update_user(user)

    def update_users_batch(self, users: Iterable[Mapping[str, Any]]) -> None:
        """Queue upserts of users."""
        self.moesif.update_users(users)

    def update_company(self, company: Mapping[str, Any]) -> None:
        """Queue an upsert of a company."""
        self.moesif.update_company(company)

    def update_companies_batch(self, companies: Iterable[Mapping[str, Any]]) -> None:
        """Queue upserts of companies."""
        self.moesif.update_companies(companies)

    def update_subscription(self, subscription: Mapping[str, Any]) -> None:
        """Queue an upsert of a subscription."""
        self.moesif.update_subscription(subscription)

    def update_subscriptions_batch(self, subscriptions: Iterable[Mapping[str, Any]]) -> None:
        """Queue upserts of subscriptions."""
        self.moesif.update_subscriptions(subscriptions)
