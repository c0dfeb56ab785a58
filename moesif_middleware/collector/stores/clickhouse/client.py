"""ClickHouse over HTTP: connections that are kept, and another server when one does not answer."""

from __future__ import annotations

import http.client
import logging
import random
import re
import selectors
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import orjson

from .. import StoreUnavailable
from .address import Address

logger = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 60.0
DOWN_SECONDS: Final = 2.0
"""How long a server that did not answer is asked last."""

LOOK_SECONDS: Final = 0.05
"""How long an answer is waited for between two looks whether anybody still wants it."""

IDLE_CONNECTIONS: Final = 8
"""Connections to one server that are kept."""

_CODE: Final = re.compile(r"Code: (\d+)")
_ELSEWHERE: Final = frozenset({159, 164, 202, 203, 209, 210, 225, 242, 252, 279, 285, 286, 319, 999})
"""Errors of a server that is busy, alone or ill: another one may do it, or the same one later."""

_SETTINGS: Final[Mapping[str, str]] = {
    "max_query_size": str(64 * 1024 * 1024),
    "max_ast_elements": "10000000",
    "max_expanded_ast_elements": "10000000",
    "output_format_json_quote_64bit_integers": "0",
    # Without it an error after the first rows would look like a success.
    "wait_end_of_query": "1",
}

Host = tuple[str, int]


class Refused(StoreUnavailable):
    """A server answered with an error. ``code`` is ClickHouse's number of it, 0 when there is none.

    ``detail`` is its text, which may quote the statement and with it what was captured: it is no part of the message.
    """

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"ClickHouse refused, code {code}")
        self.code = code
        self.detail = detail

    @property
    def passing(self) -> bool:
        """Whether the same statement may succeed elsewhere or later."""
        return self.code in _ELSEWHERE


class Interrupted(StoreUnavailable):
    """Nobody wants the answer any more."""

    def __init__(self) -> None:
        super().__init__("interrupted")


class Client:
    """Runs statements on one of several servers. Every call may come from any thread."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._hosts = list(address.hosts)
        # Collectors that are started alike spread over the servers.
        random.shuffle(self._hosts)
        self._lock = threading.Lock()
        self._idle: dict[Host, list[http.client.HTTPConnection]] = {}
        self._down: dict[Host, float] = {}
        self._closed = False
        self._context = ssl.create_default_context() if address.secure else None
        self._waiting = threading.local()

    @contextmanager
    def interrupted_by(self, stop: Callable[[], bool]) -> Iterator[None]:
        """Give up what this thread reads within the block, with Interrupted, soon after ``stop`` returns true.

        The server is told to do so too.
        """
        before, self._waiting.stop = self._stop, stop
        try:
            yield
        finally:
            self._waiting.stop = before

    def select(self, sql: str, hosts: Collection[Host] = ()) -> list[list[Any]]:
        """Return the rows of a statement. Raises StoreUnavailable, or Refused when a server says what is wrong.

        ``hosts`` are the servers that may be asked, if not all.
        """
        answer = self.execute(f"{sql} FORMAT JSONCompact", hosts=hosts)
        try:
            rows: list[list[Any]] = orjson.loads(answer)["data"]
        except (ValueError, KeyError):
            raise StoreUnavailable("the answer of ClickHouse is cut") from None
        return rows

    def execute(
        self,
        statement: str | bytes,
        settings: Mapping[str, str] | None = None,
        *,
        database: bool = True,
        hosts: Collection[Host] = (),
    ) -> bytes:
        """Run a statement on the first server that answers, and return the answer; it may run twice.

        ``database`` is false before there is one; ``hosts`` are the servers that may be asked, if not all.
        """
        stop, name = self._stop, ""
        if stop is not None:
            if stop():
                raise Interrupted
            # The server must know which one is given up.
            name = uuid4().hex
        target = self._target({**(settings or {}), "query_id": name} if name else settings, database=database)
        body = statement.encode() if isinstance(statement, str) else statement
        failure: StoreUnavailable | None = None
        for host in self._in_turn(hosts):
            try:
                return self._asked(host, target, body)
            except Interrupted:
                self._kill(host, name)
                raise
            except StoreUnavailable as error:
                if isinstance(error, Refused) and not error.passing:
                    raise
                failure = error
        assert failure is not None  # noqa: S101 - there is at least one host
        raise failure

    def execute_once(self, statement: bytes, settings: Mapping[str, str], hosts: Collection[Host] = ()) -> None:
        """Run a statement on the first server that takes connections; whether it ran is unknown after an error.

        ``hosts`` are the servers that may be asked, if not all.
        """
        target = self._target(settings)
        failure: StoreUnavailable | None = None
        for host in self._in_turn(hosts):
            try:
                connection = self._connect(host)
            except OSError as error:
                failure = self._say_down(host, error)
                continue
            self._asked(host, target, statement, connection)
            return
        assert failure is not None  # noqa: S101 - there is at least one host
        raise failure

    def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        with self._lock:
            connections = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in connections:
            connection.close()

    @property
    def _stop(self) -> Callable[[], bool] | None:
        """What says that this thread's statements are to be given up, if anything does."""
        return getattr(self._waiting, "stop", None)

    def _kill(self, host: Host, query: str) -> None:
        """Tell a server to give up a statement: old versions do not do so when the client goes away."""
        statement = f"KILL QUERY WHERE query_id = '{query}' ASYNC"
        try:
            with self.interrupted_by(lambda: False):
                self._asked(host, self._target(None, database=False), statement.encode())
        except StoreUnavailable as error:
            logger.debug("a statement that nobody waits for goes on: %s", error)

    def _in_turn(self, hosts: Collection[Host]) -> list[Host]:
        now = time.monotonic()
        asked = [host for host in self._hosts if not hosts or host in hosts]
        return sorted(asked, key=lambda host: self._down.get(host, 0.0) > now)

    def _target(self, settings: Mapping[str, str] | None, *, database: bool = True) -> str:
        parameters = {**_SETTINGS, **(settings or {})}
        if database:
            parameters["database"] = self._address.database
        return f"/?{urlencode(parameters)}"

    def _asked(
        self, host: Host, target: str, body: bytes, connection: http.client.HTTPConnection | None = None
    ) -> bytes:
        """Return the answer of one server, over a new connection when one is given. Raises StoreUnavailable."""
        try:
            answer = self._ask(host, target, body, connection)
        except (OSError, http.client.HTTPException) as error:
            raise self._say_down(host, error) from error
        self._say_up(host)
        return answer

    def _say_down(self, host: Host, error: Exception) -> StoreUnavailable:
        failure = StoreUnavailable(f"ClickHouse at {host[0]}:{host[1]} does not answer: {error!r}")
        if host not in self._down:
            logger.warning("%s", failure)
        self._down[host] = time.monotonic() + DOWN_SECONDS
        return failure

    def _say_up(self, host: Host) -> None:
        if self._down.pop(host, None) is not None:
            logger.warning("ClickHouse at %s:%d answers again", *host)

    def _ask(self, host: Host, target: str, body: bytes, new: http.client.HTTPConnection | None) -> bytes:
        connection, kept = (new, False) if new is not None else self._connection(host)
        try:
            status, answer = self._exchange(connection, target, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # Servers close connections that were quiet for some seconds; only a new one tells whether they are there.
            if not kept or isinstance(error, TimeoutError):
                raise
            return self._ask(host, target, body, self._connect(host))
        except BaseException:
            connection.close()
            raise
        self._keep(host, connection)
        if status != 200:
            text = answer[:2_000].decode("utf-8", "replace").strip()
            found = _CODE.search(text)
            raise Refused(int(found[1]) if found else 0, text)
        return answer

    def _exchange(self, connection: http.client.HTTPConnection, target: str, body: bytes) -> tuple[int, bytes]:
        headers = {"X-ClickHouse-User": self._address.user}
        if self._address.password:
            headers["X-ClickHouse-Key"] = self._address.password
        connection.request("POST", target, body, headers)
        if self._stop is not None:
            _wait(connection, self._stop)
        response = connection.getresponse()
        return response.status, response.read()

    def _connection(self, host: Host) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection, and whether it was used before."""
        with self._lock:
            idle = self._idle.get(host)
            if idle:
                return idle.pop(), True
        return self._connect(host), False

    def _connect(self, host: Host) -> http.client.HTTPConnection:
        name, port = host
        if self._context is not None:
            secure = http.client.HTTPSConnection(name, port, timeout=CONNECT_SECONDS, context=self._context)
            connection: http.client.HTTPConnection = secure
        else:
            connection = http.client.HTTPConnection(name, port, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)
        return connection

    def _keep(self, host: Host, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(host, [])
            if not self._closed and connection.sock is not None and len(idle) < IDLE_CONNECTIONS:
                idle.append(connection)
                return
        connection.close()


def _wait(connection: http.client.HTTPConnection, stop: Callable[[], bool]) -> None:
    """Wait until the answer begins, which is when the whole statement is done. Raises Interrupted or TimeoutError."""
    until = time.monotonic() + ANSWER_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        while not selector.select(LOOK_SECONDS):
            if stop():
                raise Interrupted
            if time.monotonic() > until:
                raise TimeoutError("timed out")
