"""A thousand requests through both adapters, each with a secret: none reaches the collector's files, spool or log."""

from __future__ import annotations

import asyncio
import io
import logging
import sqlite3
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.util import setup_testing_defaults

import orjson
import pytest

from moesif_middleware import Moesif, add_metadata
from moesif_middleware.asgi import MoesifMiddleware as AsgiMiddleware
from moesif_middleware.sansio.secret_names import HEADERS, PHRASES
from moesif_middleware.wsgi import MoesifMiddleware as WsgiMiddleware

from .collector.serving import serving

CANARY = "c4n4ryV4lue"
# Each with what must not be found of it.
VALUES = {
    f"Bearer {CANARY}x": CANARY,
    "Basic YW5uOmM0bjRyeVY0bHVl": "YW5uOmM0bjRyeV",
    f"eyJhbGciOiJub25l.{CANARY}.{CANARY}": CANARY,
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----": CANARY,
    f"ghp_{CANARY}{CANARY}": CANARY,
    f"sk_live_{CANARY}{CANARY}": CANARY,
    "AKIAC4N4RYV4LUEC4N4R": "C4N4RYV4LUE",
    f"postgres://ann:{CANARY}@db.example/x": CANARY,
    "4111 1111 1111 1111": "1111 1111",
    "378282246310005": "37828224631",
}
NEEDLES = sorted({CANARY, *VALUES.values()})

Parts = dict[str, Any]
Place = Callable[[str, str], Parts]


def in_header(name: str, value: str) -> Parts:
    return {"headers": {name.replace(" ", "-"): value.replace("\n", " ")}}


def in_response_header(name: str, value: str) -> Parts:
    return {"response_headers": {name.replace(" ", "-"): value.replace("\n", " ")}}


def in_location(name: str, value: str) -> Parts:
    return {"response_headers": {"location": f"/next?{quote(name)}={quote(value)}"}}


def in_query(name: str, value: str) -> Parts:
    return {"query": f"page=2&{quote(name)}={quote(value)}"}


def in_json(name: str, value: str) -> Parts:
    return {"body": orjson.dumps({"items": [{"n": 1, name.replace(" ", "_"): {"deep": [value]}}]})}


def in_response_json(name: str, value: str) -> Parts:
    camel = name.title().replace(" ", "")
    return {"response_body": orjson.dumps([{camel[0].lower() + camel[1:]: value}])}


def in_form(name: str, value: str) -> Parts:
    body = f"page=2&{quote(name)}={quote(value)}".encode()
    return {"body": body, "headers": {"content-type": "application/x-www-form-urlencoded"}}


def in_text(name: str, value: str) -> Parts:
    return {"response_body": f"<a><{name.replace(' ', '-')}>{value}</{name.replace(' ', '-')}></a>".encode()}


def in_metadata(name: str, value: str) -> Parts:
    return {"metadata": {"n": 1, name: value}}


def in_cookie(name: str, value: str) -> Parts:
    text = quote(value)
    return {"headers": {"cookie": f"{quote(name)}={text}"}, "response_headers": {"set-cookie": f"x={text}; Path=/"}}


PLACES: list[Place] = [
    in_header, in_response_header, in_location, in_query, in_json, in_response_json, in_form, in_text, in_metadata,
    in_cookie,
]  # fmt: skip


def cases() -> Iterator[Parts]:
    """Yield requests with a secret: every name in every place, every header, every value in every place."""
    for phrases, place in product(PHRASES.values(), PLACES):
        yield place(phrases[0], CANARY)
    for names in HEADERS.values():
        for name in names:
            yield in_header(name.replace("*", "x"), CANARY)
            yield in_response_header(name.replace("*", "x"), CANARY)
    for value, place in product(VALUES, PLACES):
        yield place("note", value)
    for value in VALUES:
        yield {"body": orjson.dumps({"a": f"see {value} there"}), "response_body": f"see {value} there".encode()}
        yield {"path": f"/items/{quote(value, safe='')}"}


async def over_asgi(moesif: Moesif, parts: Parts) -> None:
    """Make one request as an ASGI server does."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if "metadata" in parts:
            add_metadata(given=parts["metadata"])
        while (await receive()).get("more_body"):
            pass
        headers = [(name.encode(), value.encode()) for name, value in parts.get("response_headers", {}).items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": parts.get("response_body", b"")})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.get("body", b""), "more_body": False}

    async def send(message: Any) -> None:
        del message

    headers = {"host": "api.example.com", **parts.get("headers", {})}
    path = parts.get("path", "/things")
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "scheme": "https",
        "query_string": parts.get("query", "").encode(), "client": ("10.1.2.3", 5000), "server": ("127.0.0.1", 80),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "root_path": "",
        "http_version": "1.1",
    }  # fmt: skip
    await AsgiMiddleware(app, moesif=moesif)(scope, receive, send)


def over_wsgi(moesif: Moesif, parts: Parts) -> None:
    """Make one request as a WSGI server does."""
    body = parts.get("body", b"")
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in parts.get("headers", {}).items()}
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": parts.get("path", "/things"), "QUERY_STRING": parts.get("query", ""),
        "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "REMOTE_ADDR": "10.1.2.3", **headers,
    }  # fmt: skip
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "application/json")
    setup_testing_defaults(environ)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        if "metadata" in parts:
            add_metadata(given=parts["metadata"])
        start_response("200 OK", list(parts.get("response_headers", {}).items()))
        return [parts.get("response_body", b"")]

    result = WsgiMiddleware(app, moesif)(environ, lambda status, headers, exc_info=None: None)
    list(result)
    result.close() if hasattr(result, "close") else None


def send_all(moesif: Moesif, requests: list[Parts]) -> None:
    """Send each request through both adapters."""
    for parts in requests:
        asyncio.run(over_asgi(moesif, parts))
        over_wsgi(moesif, parts)


def found_in(kept: bytes) -> list[str]:
    """Return what of the secrets stands in some bytes, plainly or in base64 at any of its three offsets."""
    spelt = {needle: [needle.encode(), *in_base64(needle.encode())] for needle in NEEDLES}
    return [needle for needle, forms in spelt.items() if any(form in kept for form in forms)]


def in_base64(needle: bytes) -> list[bytes]:
    """Return the part of base64 text that stands for some bytes, wherever in a text they begin."""
    return [b64encode(bytes(offset) + needle)[(offset * 8 + 5) // 6 : -4] for offset in range(3)]


def kept_under(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(directory.rglob("*")) if file.is_file())


def test_no_secret_leaves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every default secret in every place, searched for as bytes in all that the collector keeps, and in the log."""
    caplog.set_level(logging.DEBUG)
    requests = list(cases())
    with serving(tmp_path, ("app-one",)) as collector:
        moesif = Moesif(application_id="app-one", base_uri=collector.url, debug=True, strict=True)
        send_all(moesif, requests)
        moesif.flush(60)
        stats = moesif.stats()
        moesif.close(10)
    assert len(requests) * 2 >= 1000
    assert stats["delivered"] == len(requests) * 2
    assert stats["errors"] == {}
    kept = kept_under(tmp_path)
    assert kept.count(b"[REDACTED:") > len(requests)
    assert found_in(kept) == []
    assert found_in(caplog.text.encode()) == []


def test_no_secret_reaches_the_spool(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same while the collector is down: what waits on the disk was masked before it was written."""
    caplog.set_level(logging.DEBUG)
    requests = list(cases())
    path = tmp_path / "spool"
    # Nothing listens on the port of discard.
    options: dict[str, Any] = {"base_uri": "http://127.0.0.1:9", "spool_path": str(path)}
    moesif = Moesif(application_id="app-one", debug=True, strict=True, **options)
    send_all(moesif, requests)
    moesif.close(60)
    assert moesif.stats()["spooled"] == len(requests) * 2
    with closing(sqlite3.connect(path)) as database:
        bodies = [zlib.decompress(row[0], 31) for row in database.execute("SELECT body FROM batches")]
    kept = kept_under(tmp_path) + b"\n".join(bodies)
    assert kept.count(b"[REDACTED:") > len(requests)
    assert found_in(kept) == []
    assert found_in(caplog.text.encode()) == []
