"""httpx, sync and async: each request of a client on its way to whichever transport, and the pieces of its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

from . import Outgoing, begin, replace


class _Sent(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A request's body, looked at as it is sent."""

    def __init__(self, stream: Any, call: Outgoing) -> None:
        self._stream, self._call = stream, call

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._call.request_body(chunk)
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._call.request_body(chunk)
            yield chunk

    def close(self) -> None:
        """Close the body."""
        self._stream.close()

    async def aclose(self) -> None:
        """Close the body."""
        await self._stream.aclose()


class _Received(httpx.SyncByteStream):
    """A response's body, looked at as it is read; the call ends with it."""

    def __init__(self, stream: httpx.SyncByteStream, call: Outgoing) -> None:
        self._stream, self._call = stream, call

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._call.response_body(chunk)
                yield chunk
        except Exception as error:
            self._call.failed(error)
            raise

    def close(self) -> None:
        """Close the body, and submit."""
        try:
            self._stream.close()
        finally:
            self._call.finish()


class _ReceivedAsync(httpx.AsyncByteStream):
    """The same where reading is awaited."""

    def __init__(self, stream: httpx.AsyncByteStream, call: Outgoing) -> None:
        self._stream, self._call = stream, call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                self._call.response_body(chunk)
                yield chunk
        except Exception as error:
            self._call.failed(error)
            raise

    async def aclose(self) -> None:
        """Close the body, and submit."""
        try:
            await self._stream.aclose()
        finally:
            await self._call.afinish()


def _begin(request: httpx.Request) -> Outgoing | None:
    call = begin("httpx", request, request.method, lambda: (str(request.url), request.headers.raw))
    if call is not None:
        request.stream = _Sent(request.stream, call)
    return call


def _sync(original: Callable[..., Any]) -> Callable[..., Any]:
    def send(client: httpx.Client, request: httpx.Request) -> httpx.Response:
        stream: Any = getattr(request, "stream", None)
        # A stream of the wrong kind is for httpx to refuse.
        call = _begin(request) if isinstance(stream, httpx.SyncByteStream) else None
        if call is None:
            return original(client, request)  # type: ignore[no-any-return]  # what it replaces returns a Response
        try:
            response: httpx.Response = original(client, request)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            # A redirect sends the same body again.
            request.stream = stream
        call.answered(response, response.status_code, response.headers.raw, decoded=False)
        if isinstance(response.stream, httpx.SyncByteStream):
            response.stream = _Received(response.stream, call)
        return response

    return send


def _async(original: Callable[..., Any]) -> Callable[..., Any]:
    async def send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        stream: Any = getattr(request, "stream", None)
        call = _begin(request) if isinstance(stream, httpx.AsyncByteStream) else None
        if call is None:
            return await original(client, request)  # type: ignore[no-any-return]  # as above
        try:
            response: httpx.Response = await original(client, request)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            request.stream = stream
        call.answered(response, response.status_code, response.headers.raw, decoded=False)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _ReceivedAsync(response.stream, call)
        return response

    return send


def install() -> Callable[[], None]:
    """Look at httpx's clients; the collector's sink, which uses a transport without one, is not seen at all."""
    # The one place that every request passes, each hop of a redirect by itself, whatever transport it goes to.
    first = replace(httpx.Client, "_send_single_request", _sync)
    second = replace(httpx.AsyncClient, "_send_single_request", _async)

    def undo() -> None:
        first()
        second()

    return undo
