"""One HTTP exchange as it is seen on the request path: references and a bounded copy, nothing parsed.

A ``RequestHead`` keeps what the server handed over and turns it into text only when somebody asks. What it keeps are
values and lists that no framework changes afterwards: routers rewrite ``scope`` and ``environ`` in place, so neither
is held. ``Exchange`` and ``BodyBuffer`` are mutable, one per request; everything else is immutable by convention.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Set
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from .headers import HeaderNames, join_headers

# RFC 3986 pchar and "/", so that quoting a decoded path gives what a client would have sent.
_PATH_SAFE = "/:@!$&'()*+,;=-._~"
_PLAIN_PATH = re.compile(rf"[A-Za-z0-9{re.escape(_PATH_SAFE)}]*").fullmatch
# Nothing of what a client spelt is spelt anew, but for what no URI can hold.
_SPELT = "".join(map(chr, range(33, 127)))
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# What the keys of an environ that are headers begin with, and the least text beyond all of them: before Python 3.13 to
# compare a key with both takes two thirds of what startswith() takes.
_HEADER = "HTTP_"
_PAST_HEADERS = "HTTP" + chr(ord("_") + 1)
_WITHOUT_PREFIX = ("CONTENT_TYPE", "CONTENT_LENGTH")
_USUAL_BYTES = 2048
"""About what an exchange with a usual head holds, without its bodies."""
_PAIR_BYTES = 130
"""What Python's objects for a header take, beside its text."""


def _encoded(path: str) -> bytes:
    """Return a decoded path's bytes; what was no UTF-8 stands in it as escapes, or as half a surrogate pair."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")


def _quoted(path: str) -> str:
    """Return a decoded path as it stands in a URI; most have nothing to be quoted, which is cheaper to see."""
    return path if _PLAIN_PATH(path) else quote(_encoded(path), safe=_PATH_SAFE)


def _spelt(raw: bytes) -> str:
    """Return a part of a URI as it stood on the wire; bytes beyond ASCII, which no URI holds, percent-encoded."""
    return raw.decode("ascii") if raw.isascii() else quote(raw, safe=_SPELT)


class RequestHead(ABC):
    """A request without its body. Subclasses say where the raw parts come from; text is made on demand and kept."""

    __slots__ = ("_headers", "peer", "scheme", "verb")

    verb: str
    scheme: str
    peer: str | None
    _headers: dict[str, str] | None

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers, names in lower case, repeated ones joined. Built once; do not change it."""
        if self._headers is None:
            self._headers = self._join()
        return self._headers

    def header(self, name: str) -> str | None:
        """Return one header by its lower-case name; most heads find it without building the map of all."""
        return self.headers.get(name)

    @property
    @abstractmethod
    def path(self) -> str:
        """Return the decoded path with the mount point in front of it."""

    @property
    def wire_path(self) -> str:
        """Return the path as it stood on the wire, percent-encoded, with the mount point in front of it."""
        return _quoted(self.path)

    @property
    @abstractmethod
    def query_string(self) -> str:
        """Return the query as it stood on the wire, without the question mark."""

    @property
    def uri(self) -> str:
        """Return scheme, host, path and query."""
        authority = self.headers.get("host") or self._server() or "localhost"
        path, query = self.wire_path, self.query_string
        if path == "*":
            # OPTIONS of the server itself (RFC 9112, 3.3).
            path = ""
        return f"{self.scheme}://{authority}{path}{'?' if query else ''}{query}"

    @property
    @abstractmethod
    def size(self) -> int:
        """Return about how many bytes of memory the head holds."""

    @abstractmethod
    def _join(self) -> dict[str, str]:
        """Make the map of all headers."""

    @abstractmethod
    def _server(self) -> str | None:
        """Return the server's own address as a URI has it, None when it is unknown."""


def authority(server: Any, scheme: str) -> str | None:
    """Write a (host, port) pair as a URI does, leaving out the scheme's own port; None when there is no host."""
    if not server or not server[0]:
        return None
    host, port = str(server[0]), server[1]
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return host if not port or int(port) == _DEFAULT_PORTS.get(scheme) else f"{host}:{port}"


class ScopeHead(RequestHead):
    """The head of an ASGI ``http`` scope (ASGI specification, "HTTP Connection Scope")."""

    __slots__ = ("_path", "_query", "_raw_path", "_root_path", "_server_pair", "raw_headers")

    def __init__(self, scope: Mapping[str, Any], raw_headers: list[tuple[bytes, bytes]]) -> None:
        self.verb = scope.get("method", "GET")
        self.scheme = scope.get("scheme") or "http"
        self._query: bytes | str = scope.get("query_string") or b""
        client = scope.get("client")
        self.peer = client[0] if client else None
        self.raw_headers = raw_headers
        self._path: str = scope.get("path") or "/"
        self._raw_path: bytes | None = scope.get("raw_path")
        self._root_path: str = scope.get("root_path") or ""
        self._server_pair = scope.get("server")
        self._headers = None

    @property
    def path(self) -> str:
        """Return the decoded path with the root path in front of it, whichever of the two ASGI readings is used."""
        root, path = self._root_path.rstrip("/"), self._path
        # ASGI 3 of today has the root path inside ``path``; servers and mounts before that took it out.
        if not root or path == root or path.startswith(root + "/"):
            return path
        return root + path

    @property
    def wire_path(self) -> str:
        """Return ``raw_path`` when it spells this very path, else the path quoted."""
        raw, path = self._raw_path, self.path
        if raw:
            if path.isascii() and raw == path.encode() and b"%" not in raw and b"?" not in raw:
                return path
            raw = raw.partition(b"?")[0]
            decoded = unquote_to_bytes(raw)
            # Most servers put U+FFFD where the bytes are no UTF-8.
            if decoded == _encoded(path) or decoded.decode("utf-8", "replace") == path:
                return _spelt(raw)
        return _quoted(path)

    @property
    def query_string(self) -> str:
        """Return the query as it stood on the wire, without the question mark."""
        query = self._query
        # The specification says bytes; Django reads text too, and its users' tests pass it.
        return _spelt(query.encode("utf-8", "surrogatepass") if isinstance(query, str) else query)

    def header(self, name: str) -> str | None:
        """Return the first header of this lower-case name."""
        wanted = name.encode()
        for key, value in self.raw_headers:
            if key == wanted or (len(key) == len(wanted) and key.lower() == wanted):
                return value.decode("latin-1")
        return None

    @property
    def size(self) -> int:
        """Return about how many bytes of memory the head holds."""
        return _size(self.raw_headers) + len(self._path) + len(self._raw_path or b"") + len(self._query)

    def _join(self) -> dict[str, str]:
        return join_headers(self.raw_headers)

    def _server(self) -> str | None:
        return authority(self._server_pair, self.scheme)


def target_head(
    verb: str, target: bytes, scheme: str, peer: str | None, raw_headers: list[tuple[bytes, bytes]]
) -> ScopeHead:
    """Return the head for a request target as it stood on the request line (RFC 9112, 3.2)."""
    raw_path, _, query = target.partition(b"?")
    raw_path = _without_origin(raw_path.decode("latin-1")).encode("latin-1")
    scope = {
        "method": verb, "scheme": scheme, "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path, "query_string": query, "client": (peer, 0),
    }  # fmt: skip
    return ScopeHead(scope, raw_headers)


def _without_origin(raw_path: str) -> str:
    """Return the path of an absolute-form target, which a proxy is sent; any other as it is."""
    if raw_path.startswith("/") or "://" not in raw_path[:8]:
        return raw_path
    return "/" + raw_path.partition("://")[2].partition("/")[2]


class EnvironHead(RequestHead):
    """The head of a WSGI environ (PEP 3333). Reads named keys and ``HTTP_*`` only: some servers put more into it."""

    __slots__ = ("_items", "_path_info", "_query", "_raw_uri", "_script_name", "_server_name", "_server_port")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        get = environ.get
        self.verb = get("REQUEST_METHOD") or "GET"
        self.scheme = get("wsgi.url_scheme") or "http"
        self._query: str = get("QUERY_STRING") or ""
        self.peer = get("REMOTE_ADDR") or None
        self._items = {key: value for key, value in environ.items() if _HEADER <= key < _PAST_HEADERS}
        for key in _WITHOUT_PREFIX:
            if value := get(key):
                self._items[key] = value
        self._script_name = get("SCRIPT_NAME") or ""
        self._path_info = get("PATH_INFO") or ""
        self._raw_uri = get("RAW_URI") or get("REQUEST_URI")
        self._server_name = get("SERVER_NAME")
        self._server_port = get("SERVER_PORT")
        self._headers = None

    @property
    def path(self) -> str:
        """Return SCRIPT_NAME and PATH_INFO, decoded from the Latin-1 that PEP 3333 wraps them in."""
        return _unwrap(self._script_name + self._path_info) or "/"

    @property
    def wire_path(self) -> str:
        """Return the server's own raw path when it spells this very path, else the path quoted."""
        path = (self._script_name + self._path_info or "/").encode("latin-1", "replace")
        raw = self._raw_uri
        if raw:
            raw = raw.partition("?")[0]
            raw = _without_origin(raw)
            if unquote_to_bytes(raw) == path:
                return str(raw)
        return quote(path, safe=_PATH_SAFE)

    @property
    def query_string(self) -> str:
        """Return the query as it stood on the wire, without the question mark."""
        return self._query if self._query.isascii() else _spelt(self._query.encode("latin-1", "replace"))

    def header(self, name: str) -> str | None:
        """Return one header by its lower-case name."""
        variable = name.upper().replace("-", "_")
        value = self._items.get(variable if variable in _WITHOUT_PREFIX else f"HTTP_{variable}")
        return None if value is None else str(value)

    @property
    def size(self) -> int:
        """Return about how many bytes of memory the head holds."""
        return _size(self._items.items()) + len(self._path_info) + len(self._query) + len(self._raw_uri or "")

    def _join(self) -> dict[str, str]:
        known = _VARIABLES.known
        return {
            known.get(key) or _VARIABLES.of(key): (
                value if type(value) is str and value.isascii() else _unwrap(str(value))
            )
            for key, value in self._items.items()
        }

    def _server(self) -> str | None:
        return authority((self._server_name, self._server_port), self.scheme) if self._server_name else None


class UrlHead(RequestHead):
    """The head of a call that the application makes itself, as its HTTP library has it."""

    __slots__ = ("_parts", "_raw_headers")

    def __init__(self, verb: str, url: str, raw_headers: list[tuple[bytes, bytes]]) -> None:
        self.verb = verb
        self._parts = urlsplit(url)
        self.scheme = self._parts.scheme or "http"
        self.peer = None
        self._raw_headers = raw_headers
        self._headers = None

    @property
    def path(self) -> str:
        """Return the decoded path."""
        return unquote(self._parts.path) or "/"

    @property
    def wire_path(self) -> str:
        """Return the path as it is in the URL."""
        return self._parts.path or "/"

    @property
    def query_string(self) -> str:
        """Return the query as it is in the URL."""
        return self._parts.query

    @property
    def size(self) -> int:
        """Return about how many bytes of memory the head holds."""
        return _size(self._raw_headers) + sum(map(len, self._parts))

    def _join(self) -> dict[str, str]:
        return join_headers(self._raw_headers)

    def _server(self) -> str | None:
        # Credentials in a URL belong to nobody else.
        return self._parts.netloc.rpartition("@")[2] or None


def _name_of_variable(key: str) -> str:
    return key.removeprefix("HTTP_").replace("_", "-").lower()


_VARIABLES = HeaderNames(_name_of_variable)


def _size(pairs: Iterable[tuple[Any, Any]]) -> int:
    size = 0
    for name, value in pairs:
        size += _PAIR_BYTES + len(name) + len(value)
    return size


def _unwrap(value: str) -> str:
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


class BodyBuffer:
    """A bounded copy of the bytes that pass: the first ``limit`` of them are kept, all are counted."""

    __slots__ = ("chunks", "clean", "count", "limit", "total")

    def __init__(self, limit: int) -> None:
        self.chunks: list[bytes] = []
        self.clean: bytes | None = None
        """What was kept, when a look over it has found nothing."""
        self.limit = limit
        """Bytes kept at most."""
        self.total = 0
        """Bytes that passed."""
        self.count = 0
        """Chunks that passed, empty ones left out."""

    def feed(self, chunk: Any) -> None:
        """Take note of a chunk. Keeps a reference to immutable bytes, a copy of anything else."""
        if type(chunk) is not bytes:
            chunk = _view(chunk)
        if chunk:
            before = self.total
            self.total = before + len(chunk)
            self.count += 1
            if before < self.limit:
                # What is immutable already is not copied, unless it has to be cut.
                self.chunks.append(bytes(chunk if self.total <= self.limit else chunk[: self.limit - before]))

    @property
    def kept(self) -> int:
        """Return how many bytes are kept."""
        return min(self.total, self.limit)

    @property
    def truncated(self) -> bool:
        """Return whether more passed than was kept."""
        return self.total > self.limit

    def getvalue(self) -> bytes:
        """Return what was kept, as one piece, and keep it so."""
        if len(self.chunks) > 1:
            self.chunks = [b"".join(self.chunks)]
        return self.chunks[0] if self.chunks else b""


def _view(chunk: Any) -> bytes | memoryview:
    """Return the bytes of a chunk that is none, without copying them; none of what has none.

    An application that sends text has its error from the server, not from somebody who looks on.
    """
    if not isinstance(chunk, (bytes, bytearray, memoryview)):
        return b""
    view = memoryview(chunk)
    return view.cast("B") if view.nbytes else b""


class Heads:
    """The URI and the headers of both sides as an event has them, before they are masked."""

    __slots__ = ("answered", "clean", "sent", "uri")

    def __init__(self, uri: str, sent: dict[str, str], answered: dict[str, str]) -> None:
        self.uri, self.sent, self.answered = uri, sent, answered
        self.clean: Set[str] | None = None
        """Texts of the headers, when a look over them and the URI has found nothing."""


class Exchange:
    """Everything that is known of one request while it runs, and all that an event is later built from.

    Times are seconds since the epoch. ``response_headers`` is whatever pairs the server side used, bytes (ASGI) or text
    (WSGI). A response that never started leaves ``status`` None.
    """

    __slots__ = (
        "blocked_by",
        "bodies",
        "company_id",
        "direction",
        "ended",
        "error",
        "gone",
        "head",
        "heads",
        "keep",
        "metadata",
        "outer",
        "request_body",
        "response_body",
        "response_headers",
        "route",
        "sampled_as",
        "session_token",
        "shadow",
        "skipped",
        "started",
        "status",
        "transaction_header",
        "user_id",
        "weight",
    )

    def __init__(self, head: RequestHead, started: float) -> None:
        self.head = head
        self.started = started
        self.ended: float | None = None
        self.status: int | None = None
        self.response_headers: Iterable[tuple[Any, Any]] = ()
        self.request_body: BodyBuffer | None = None
        self.response_body: BodyBuffer | None = None
        self.user_id: str | None = None
        self.company_id: str | None = None
        self.session_token: str | None = None
        self.metadata: dict[str, Any] | None = None
        self.route: str | None = None
        """The route template, such as ``/items/{id}``."""
        self.blocked_by: str | None = None
        self.shadow: dict[str, Any] | None = None
        """What governance would have answered, in shadow mode."""
        self.error: str | None = None
        """The type of the exception that left the application."""
        self.gone = False
        """Whether the client left before it was answered: whatever the application does then, it gets no answer."""
        self.transaction_header: str | None = None
        self.weight: int | None = None
        self.sampled_as: tuple[float, str | None, str | None] | None = None
        """The rate, in percent, that was certain before the application ran, and the user and company it was for."""
        self.direction = "Incoming"
        self.outer: Exchange | None = None
        """The exchange of another application's middleware around this one."""
        self.bodies = True
        """False once it is known that bodies are not wanted."""
        self.keep = True
        """False once it is known that no event will be built: nothing more is captured."""
        self.skipped = False
        self.heads: Heads | None = None
        """Its heads as an event has them, once somebody has put them so."""

    @property
    def wanted(self) -> bool:
        """Return whether there may be an event of it, as far as is known by now."""
        return self.keep and not self.skipped

    def shed_bodies(self) -> None:
        """Give the bodies up to save memory, and leave a note in the metadata that says so."""
        if self.request_body is None and self.response_body is None:
            return
        self.request_body = self.response_body = None
        self.metadata = {**(self.metadata or {}), "bodies_dropped": "memory"}

    @property
    def cost(self) -> int:
        """Return about how many bytes of memory the exchange holds while it is queued, if its head is a usual one."""
        size = _USUAL_BYTES
        for body in (self.request_body, self.response_body):
            if body is not None:
                size += body.kept + 64 * len(body.chunks)
        return size

    @property
    def whole_cost(self) -> int:
        """Return the same for any head and metadata, which takes longer to find out."""
        said = self.metadata.values() if self.metadata else ()
        try:
            head = self.head.size + _size(self.response_headers) + sum(len(v) for v in said if isinstance(v, str))
        except (TypeError, ValueError):  # what is no pair of texts or bytes is refused by the server
            return self.cost
        return self.cost + max(head - _USUAL_BYTES, 0)
