"""What every group of endpoints shares: one transport, the application that calls are about, and one way to call."""

from __future__ import annotations

from types import NoneType
from typing import Any, TypeVar, cast

from ..calls import call
from .transport import AsyncTransport

Answer = TypeVar("Answer")


class AsyncGroup:
    """A group of endpoints of the Management API. Every method raises APIError, TransportError and InvalidModel."""

    def __init__(self, transport: AsyncTransport, app_id: str = "~") -> None:
        self._transport = transport
        self._app_id = app_id

    async def _call(
        self,
        answer: type[Answer],
        operation: str,
        body: Any = None,
        *,
        repeatable: bool | None = None,
        **parameters: Any,
    ) -> Answer:
        """Send ``"VERB /path/{blank}"`` and return its JSON, or None where the reference describes no answer."""
        if "app_id" in parameters:
            parameters["app_id"] = parameters["app_id"] or self._app_id
        reply = await self._transport.send(call(operation, parameters, body, repeatable=repeatable))
        return cast(Answer, None if answer is NoneType else reply.json())
