"""What the measurements ask of a contestant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, ClassVar

KINDS = ("ASGI", "WSGI", "Django")


class Contestant(ABC):
    """One product around an application of one kind, sending to a collector on the loopback.

    ``eager`` asks that what was captured leaves soon, where the product has a setting for it: a measurement that waits
    for the events after each round would otherwise sit through the product's timers. All other settings are the
    defaults, but for what the product would not capture without being told.
    """

    name: ClassVar[str]
    kinds: ClassVar[Sequence[str]] = KINDS
    requirements: ClassVar[Sequence[str]] = ()
    """What pip installs for it, beside what all environments have."""
    package: ClassVar[str] = ""
    """The distribution whose version the tables give."""
    captures: ClassVar[str]
    """What of a request and its answer is in an event."""
    imports: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """For each kind, the statement with which an application imports it."""

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:  # noqa: ARG002  # most take all three
        self._kind = kind
        self.settings: dict[str, Any] = {}
        """For Django: what its settings say."""

    def host(self, app: Any) -> Any:
        """Return the application inside the framework that the product needs, which the bare one then has as well."""
        return app

    @abstractmethod
    def wrap(self, app: Any) -> Any:
        """Return what ``host`` returned, with the product around it."""

    def middleware(self) -> Sequence[str]:
        """Return, for Django, the paths of its middleware; Django is configured by then."""
        return ()

    def aside(self) -> AbstractContextManager[Any]:
        """Return a context in which the product does nothing, for those that patch the framework for good."""
        return nullcontext()

    def flush(self) -> None:  # noqa: B027  # not all can be asked
        """Send what was captured, if there is a way to ask for it."""

    def close(self) -> None:  # noqa: B027  # not all have an end
        """End in order, as when the application ends."""
