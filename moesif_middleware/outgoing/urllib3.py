"""urllib3: each request of a connection pool, retries of it included, and what is read of its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool

from . import Outgoing, begin, below, replace


class _Look:
    """What is put on a urllib3 response, so that all that is read of it is seen, whichever way it is read.

    Methods of the instance are replaced, and no object is put around it: callers ask what kind of object it is.
    """

    def __init__(self, response: Any, call: Outgoing, ends: bool) -> None:
        self._response, self._call, self._ends = response, call, ends
        self._depth = 0
        response.read = self._reading(response.read)
        if hasattr(response, "read1"):
            response.read1 = self._reading(response.read1)
        response.read_chunked = self._chunks(response.read_chunked)
        response.close = self._ending(response.close)
        response.release_conn = self._ending(response.release_conn)

    def _reading(self, read: Callable[..., bytes]) -> Callable[..., bytes]:
        def look(*arguments: Any, **named: Any) -> bytes:
            self._depth += 1
            try:
                data = read(*arguments, **named)
            except Exception as error:
                self._call.failed(error)
                raise
            finally:
                self._depth -= 1
            # One way of reading may go through another.
            if not self._depth:
                self._call.response_body(data)
                if not data or self._exhausted:
                    self._end()
            return data

        return look

    def _chunks(self, read_chunked: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
        def look(*arguments: Any, **named: Any) -> Iterator[bytes]:
            self._depth += 1
            try:
                for chunk in read_chunked(*arguments, **named):
                    self._call.response_body(chunk)
                    yield chunk
            except Exception as error:
                self._call.failed(error)
                raise
            finally:
                self._depth -= 1
            self._end()

        return look

    def _ending(self, original: Callable[[], Any]) -> Callable[[], Any]:
        def end() -> Any:
            try:
                return original()
            finally:
                # urllib3 gives the connection back inside of the last read, whose data is still to come.
                if not self._depth:
                    self._end()

        return end

    @property
    def _exhausted(self) -> bool:
        return bool(self._response.closed) and not len(getattr(self._response, "_decoded_buffer", ()))

    def _end(self) -> None:
        if self._ends:
            self._call.finish()


def look_at(response: Any, call: Outgoing, *, ends: bool = True) -> None:
    """Keep what is read of a urllib3 response; the call ``ends`` with it, or when somebody else says so."""
    _Look(response, call, ends)


def _urlopen(original: Callable[..., Any]) -> Callable[..., Any]:
    def urlopen(
        pool: Any, method: str, url: str, body: Any = None, headers: Any = None, *more: Any, **named: Any
    ) -> Any:
        call = begin("urllib3", None, method, lambda: _target(pool, url, headers))
        if call is None:
            return original(pool, method, url, body, headers, *more, **named)
        call.request_body(body)
        try:
            with below():
                response = original(pool, method, url, body, headers, *more, **named)
        except BaseException as error:
            call.failed(error)
            raise
        call.answered(response, response.status, response.headers.items(), decoded=named.get("decode_content", True))
        if named.get("preload_content", True):
            call.response_body(response.data)
            call.finish()
        else:
            look_at(response, call)
        return response

    return urlopen


def _target(pool: Any, url: str, headers: Any) -> tuple[str, Any]:
    whole = url if "://" in url else f"{pool.scheme}://{_authority(pool)}{url}"
    return whole, headers if headers is not None else pool.headers


def _authority(pool: Any) -> str:
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    return host if pool.port in {None, 80, 443} else f"{host}:{pool.port}"


def install() -> Callable[[], None]:
    """Look at the connection pools."""
    return replace(HTTPConnectionPool, "urlopen", _urlopen)
