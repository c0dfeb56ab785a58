"""aiohttp's client: each request of a session, and what is read of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientSession

from ..runtime.content import Content
from ..sansio import jsontext
from . import Outgoing, begin, replace


def _request(original: Callable[..., Any]) -> Callable[..., Any]:
    async def request(session: ClientSession, method: str, str_or_url: Any, **named: Any) -> Any:
        call = begin("aiohttp", None, method, lambda: _target(session, str_or_url, named))
        if call is None:
            return await original(session, method, str_or_url, **named)
        call.request_body(_body(named))
        try:
            response = await original(session, method, str_or_url, **named)
        except BaseException as error:
            call.failed(error)
            raise
        # aiohttp decodes what it reads.
        call.answered(response, response.status, response.headers.items(), decoded=True)
        _look_at(response, call)
        return response

    return request


def _target(session: ClientSession, url: Any, named: Mapping[str, Any]) -> tuple[str, dict[Any, Any]]:
    headers = {**session.headers, **dict(named.get("headers") or ())}
    return _whole(session, url, named.get("params")), headers


def _whole(session: Any, url: Any, params: Any) -> str:
    base = getattr(session, "_base_url", None)
    text = str(url if base is None else base.join(type(base)(str(url))))
    if not params:
        return text
    query = (
        params
        if isinstance(params, str)
        else urlencode(list(params.items() if isinstance(params, Mapping) else params))
    )
    return f"{text}{'&' if '?' in text else '?'}{query}"


def _body(named: Mapping[str, Any]) -> bytes | str | None:
    """Return the body where it is known beforehand: JSON, text, bytes or the fields of a form."""
    data = named.get("data")
    if named.get("json") is not None:
        return jsontext.dump(named["json"])
    if isinstance(data, Mapping) and all(isinstance(value, str | int | float) for value in data.values()):
        return urlencode(data)
    return data if isinstance(data, bytes | str) else None


def _look_at(response: Any, call: Outgoing) -> None:
    response.content = Content(response.content, call.response_body, call.failed)
    read, release, close = response.read, response.release, response.close

    async def look() -> bytes:
        data: bytes = await read()
        await call.afinish()
        return data

    def ended(original: Callable[[], Any]) -> Callable[[], Any]:
        def end() -> Any:
            try:
                return original()
            finally:
                call.finish()

        return end

    response.read = look
    response.release, response.close = ended(release), ended(close)


def install() -> Callable[[], None]:
    """Look at the sessions, those that exist already too."""
    return replace(ClientSession, "_request", _request)
