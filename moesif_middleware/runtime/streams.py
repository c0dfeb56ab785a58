"""Streams that are looked at while they pass: what an application reads, and what it answers in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextvars import Token
from typing import Any, Protocol

from ..sansio.exchange import Exchange
from .client import Moesif
from .current import current


class Call(Protocol):
    """One request on its way, as an adapter keeps it."""

    exchange: Exchange

    def raised(self, error: BaseException) -> None:
        """Note what left the application."""

    def finish(self) -> None:
        """Submit the exchange, once."""


class AsyncCall(Call, Protocol):
    """The same where hooks can be awaited."""

    async def araised(self, error: Exception) -> None:
        """Note what left the application."""

    async def afinish(self) -> None:
        """Submit the exchange, once."""

    def cancelled(self) -> None:
        """Submit the exchange, once, where nothing can be awaited any more."""


class Input:
    """A request's body as a file, looked at as the application reads it; what was read ahead comes first."""

    def __init__(self, stream: Any, exchange: Exchange, moesif: Moesif) -> None:
        self._stream, self._exchange, self._moesif = stream, exchange, moesif
        self._ahead = b""
        """What was read ahead of the application, of a stream that cannot go back."""
        self._origin = _position(stream)
        self._seen = 0
        """Bytes of a stream that can go back that were seen: what is read again is no news."""

    @classmethod
    def read_ahead(cls, stream: Any, exchange: Exchange, moesif: Moesif, length: str) -> Input:
        """Read the body up to the capture limit, for a rule that reads it; the application gets every byte of it.

        ``length`` is the request's Content-Length, which bounds what may be read of a stream that does not end by
        itself; empty when there is none. Of what is no number frameworks make an empty body.
        """
        made = cls(stream, exchange, moesif)
        limit = moesif.ahead_buffer(exchange).limit
        most = min(_number(length), limit) if length else limit
        pieces: list[bytes] = []
        while most > 0 and (piece := made.read(most)):
            pieces.append(piece)
            most -= len(piece)
        if made._origin is not None:
            stream.seek(made._origin)
        else:
            made._ahead = b"".join(pieces)
        return made

    def _saw(self, data: bytes) -> bytes:
        try:
            fresh = data if self._origin is None else self._fresh(data)
            if fresh:
                self._moesif.saw(self._exchange, fresh)
        except Exception as error:  # the bytes are the application's, wherever their stream says that it stands
            self._moesif.failed("request", error)
        return data

    def _fresh(self, data: bytes) -> bytes:
        end = self._stream.tell() - self._origin
        new = end - self._seen
        self._seen = max(end, self._seen)
        return data[-new:] if new > 0 else b""

    def read(self, *size: int | None, **named: int | None) -> bytes:
        """Read up to ``size`` bytes; all of them when it is negative, None or not given.

        What is given goes on to the stream as it is: some take no ``read()``, others no ``read(-1)``.
        """
        ahead = self._ahead
        if not ahead:
            return self._saw(self._stream.read(*size, **named))
        most = _bound(*size, **named)
        if most is None:
            self._ahead = b""
            return ahead + self._saw(self._stream.read(*size, **named))
        self._ahead = ahead[most:]
        # One read() of the whole Content-Length is how many read: fewer bytes would be the end to them.
        return ahead[:most] if most <= len(ahead) else ahead + self._saw(self._stream.read(most - len(ahead)))

    def readline(self, *size: int | None, **named: int | None) -> bytes:
        """Read a line, at most ``size`` bytes of it when that is given and not negative."""
        ahead = self._ahead
        if not ahead:
            return self._saw(self._stream.readline(*size, **named))
        most = _bound(*size, **named)
        end = ahead.find(b"\n") + 1 or len(ahead)
        end = end if most is None else min(end, most)
        line, self._ahead = ahead[:end], ahead[end:]
        if line.endswith(b"\n") or self._ahead or len(line) == most:
            return line
        return line + (self.readline(*size, **named) if most is None else self.readline(most - len(line)))

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Read the lines, about ``hint`` bytes of them when that is positive."""
        lines: list[bytes] = []
        size = 0
        while line := self.readline():
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __getattr__(self, name: str) -> Any:
        # Beyond PEP 3333 only what the server's own stream has: Werkzeug reads by readinto() where there is one.
        found = getattr(self._stream, name)
        if name in {"readinto", "readinto1"}:
            return lambda buffer: self._into(found, buffer)
        if name == "read1":
            return lambda size=-1: self._read1(found, size)
        return found

    def _into(self, readinto: Callable[[Any], int | None], buffer: Any) -> int | None:
        view = memoryview(buffer).cast("B")
        if self._ahead:
            data, self._ahead = self._ahead[: len(view)], self._ahead[len(view) :]
            view[: len(data)] = data
            return len(data)
        size = readinto(buffer)
        if size:
            self._saw(bytes(view[:size]))
        return size

    def _read1(self, read1: Callable[[int], bytes], size: int) -> bytes:
        if not self._ahead:
            return self._saw(read1(size))
        end = len(self._ahead) if size < 0 else size
        data, self._ahead = self._ahead[:end], self._ahead[end:]
        return data


def may_have_body(environ: Mapping[str, Any]) -> bool:
    """Return whether the request of a WSGI environ may have a body; an ASGI server says less of that."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return bool(length != "0")
    return bool(environ.get("HTTP_TRANSFER_ENCODING") or environ.get("wsgi.input_terminated"))


def _bound(size: int | None = -1) -> int | None:
    """Return the most that may be read, None when all is wanted."""
    return None if size is None or size < 0 else size


def _position(stream: Any) -> int | None:
    """Return where a stream stands, None for one that cannot go back. Django seeks in those that can."""
    seekable = getattr(stream, "seekable", None)
    try:
        return int(stream.tell()) if seekable is not None and seekable() else None
    except Exception:  # a server's own stream may do anything, and one that cannot tell where it stands cannot go back
        return None


def _number(length: str) -> int:
    try:
        return int(length)
    except ValueError:
        # "²" is one to isdigit(), and thousands of digits are too many for Python.
        return 0


_END = object()


def _watched(result: Iterable[bytes], call: Call) -> Iterator[bytes]:
    """Yield the application's chunks. A generator, since a stream may have very many, and its steps cost least."""
    exchange = call.exchange
    iterator: Iterator[bytes] | None = None
    while True:
        # A generator runs here, not where it was made: what it says with identify() belongs to this request.
        token: Token[Exchange | None] = current.set(exchange)
        try:
            if iterator is None:
                iterator = iter(result)
            chunk: Any = next(iterator, _END)
            if chunk is _END:
                call.finish()
                return
        except BaseException as error:
            call.raised(error)
            raise
        finally:
            current.reset(token)
        kept = exchange.response_body
        if kept is not None:
            kept.feed(chunk)
        yield chunk


class Chunks:
    """The application's iterable, looked at as the server walks through it."""

    __slots__ = ("_call", "_chunks", "_result")

    def __init__(self, result: Iterable[bytes], call: Call) -> None:
        self._result, self._call = result, call
        self._chunks = _watched(result, call)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Close what the application returned, as PEP 3333 asks, and submit: the end, or a client that has gone."""
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._call.raised(error)
            raise
        finally:
            self._call.finish()


class SizedChunks(Chunks):
    """The same for an iterable that has a length, from which servers infer Content-Length."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._result)  # type: ignore[arg-type]  # made only for those that have one


class AsyncChunks:
    """The application's asynchronous iterable, looked at as the server walks through it."""

    __slots__ = ("_call", "_iterator")

    def __init__(self, result: AsyncIterable[bytes], call: AsyncCall) -> None:
        self._iterator, self._call = aiter(result), call

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        call = self._call
        token: Token[Exchange | None] = current.set(call.exchange)
        try:
            chunk = await anext(self._iterator)
        except StopAsyncIteration:
            await call.afinish()
            raise
        except Exception as error:
            await call.araised(error)
            raise
        except BaseException:
            call.cancelled()
            raise
        finally:
            current.reset(token)
        kept = call.exchange.response_body
        if kept is not None:
            kept.feed(chunk)
        return chunk

    def close(self) -> None:
        """Submit: the response is over, or its client has gone."""
        self._call.finish()
