"""Secrets in odd places and odd spellings, each of which left once: what an attack on the masking found."""

from __future__ import annotations

import base64
import gzip
import json
import lzma
import zlib
from typing import Any
from urllib.parse import quote

import brotli
import pytest
import zstandard

from moesif_middleware.sansio.events import build, encode, finish
from moesif_middleware.sansio.exchange import BodyBuffer, Exchange, ScopeHead
from moesif_middleware.sansio.masking import compile_masking
from moesif_middleware.testing import assert_no_secrets

MASKER = compile_masking()
CANARY = "c4n4ryV4lue"
DOCUMENT = json.dumps({"user": "ann", "password": CANARY}).encode()
LONG = json.dumps({"user": "ann", "password": CANARY, "pad": "x" * 5000}).encode()
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=B"


def sent(
    body: bytes = b"",
    content_type: str = "",
    content_encoding: str = "",
    cut: int = 0,
    headers: dict[str, str] | None = None,
    metadata: Any = None,
    masker: Any = MASKER,
) -> dict[str, Any]:
    """Return the event of a request as the collector reads it; of the body ``cut`` bytes were not kept."""
    given = {"content-type": content_type, "content-encoding": content_encoding, **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in given.items() if value]
    made = Exchange(ScopeHead({"method": "POST", "path": "/x"}, raw), 0.0)
    made.status, made.metadata = 200, metadata
    made.request_body = BodyBuffer(len(body) - cut)
    made.request_body.feed(body)
    document: dict[str, Any] = json.loads(encode(finish(masker.event(build(made)))))
    return document


def part(headers: bytes, content: bytes) -> bytes:
    return b"--B\r\n" + headers + b"\r\n\r\n" + content + b"\r\n--B--\r\n"


PLACES: dict[str, dict[str, Any]] = {
    "an encoded name in a form in JSON": {"body": json.dumps({"a": f"x=1&pass%77ord={CANARY}&y=2"}).encode()},
    "an encoded name in an address in JSON": {"body": json.dumps({"a": f"see https://h/x?p%61ssword={CANARY}"}).encode()},
    "an encoded name in an address in a header": {"headers": {"x-link": f"https://h/x?p%61ssword={CANARY}"}},
    "an encoded document in a form in JSON": {"body": json.dumps({"q": "data=" + quote(DOCUMENT)}).encode()},
    "a name encoded twice in a form": {"body": f"p%2561ssword={CANARY}".encode(), "content_type": FORM},
    "a document as it is in Location": {"headers": {"location": '/x?data={"password":"' + CANARY + '"}'}},
    "credentials in an address without a scheme": {"headers": {"location": f"//ann:{CANARY}@h/x"}},
    "an escaped letter in what is nearly JSON": {"body": b'{"a":1,}{"pass\\u0077ord":"%s"}' % CANARY.encode()},
    "an escaped letter in JSON too deep to read": {
        "body": b'{"a":' * 100 + b'{"pass\\u0077ord":"%s"}' % CANARY.encode() + b"}" * 100
    },
    "a block string of GraphQL": {"body": json.dumps({"query": f'{{a(password:"""{CANARY}"""){{t}}}}'}).encode()},
    "a JSON patch": {"body": json.dumps([{"op": "add", "path": "/user/password", "value": CANARY}]).encode()},
    "a pair": {"body": json.dumps([{"name": "password", "value": CANARY}]).encode()},
    "a pair the other way round": {"body": json.dumps([{"value": [CANARY], "key": "apiKey"}]).encode()},
    "a pair in capitals": {"body": json.dumps({"Tags": [{"Key": "Secret", "Value": CANARY}]}).encode()},
    "a pair with an escaped letter": {"body": b'[{"key":"pass\\u0077ord","value":"%s"}]' % CANARY.encode()},
    "a pair in a string of JSON": {"body": json.dumps({"x": json.dumps([{"name": "pin", "value": CANARY}])}).encode()},
    "a pair in metadata": {"metadata": {"a": [{"name": "password", "value": CANARY}]}},
    "a pair that is the metadata": {"metadata": {"name": "password", "value": CANARY}},
    "a pair of YAML": {"body": f"env:\n- name: DB_PASSWORD\n  value: {CANARY}\n".encode()},
    "an input of HTML": {"body": f'<input type="hidden" name="csrf_token" value="{CANARY}">'.encode()},
    "an input with its value first": {"body": f"<input value='{CANARY}' name='csrf_token'>".encode()},
    "an input without quotation marks": {"body": f"<input name=password value={CANARY}>".encode()},
    "an input of HTML in JSON": {"body": json.dumps({"a": f'<input name="pin" value="{CANARY}">'}).encode()},
    "a meta element": {"body": f'<meta name="csrf-token" content="{CANARY}" />'.encode()},
    "an element named by an attribute": {"body": f'<string name="api_key">{CANARY}</string>'.encode()},
    "a property list": {"body": f"<dict><key>password</key><string>{CANARY}</string></dict>".encode()},
    "a member of XML-RPC": {"body": f"<name>password</name><value><string>{CANARY}</string></value>".encode()},
    "a part in base64": {
        "body": part(
            b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', base64.b64encode(DOCUMENT)
        ),
        "content_type": MULTIPART,
    },
    "a part in quoted-printable": {
        "body": part(
            b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: quoted-printable',
            b"pass=77ord=3D" + CANARY.encode(),
        ),
        "content_type": MULTIPART,
    },
    "a part with a folded header": {
        "body": part(b'Content-Disposition: form-data;\r\n name="password"', CANARY.encode()),
        "content_type": MULTIPART,
    },
    "a part with an extended name and no boundary": {
        "body": part(b"Content-Disposition: form-data; name*=utf-8''p%61ssword", CANARY.encode()),
        "content_type": "multipart/form-data",
    },
    "cookies joined without a space": {"headers": {"set-cookie": f"a=1; Path=/,b={CANARY}; Path=/"}},
    "MessagePack": {"body": b"\x81\xa8password\xab" + CANARY.encode(), "content_type": "application/msgpack"},
    "CBOR": {"body": b"\xa1hpasswordk" + CANARY.encode(), "content_type": "application/cbor"},
    "BSON": {"body": b"\x02api_key\0\x0c\0\0\0" + CANARY.encode() + b"\0", "content_type": "application/bson"},
    "text in two encodings": {"body": DOCUMENT.decode().encode("utf-16-le") + b" " * 2000},
    "an input that was cut": {"body": f'<input name="csrf_token" value="{CANARY}" />'.encode(), "cut": 5},
    "an input that was cut in its value": {"body": f'<input name="csrf_token" value="{CANARY}">'.encode(), "cut": 5},
    "EBCDIC": {"body": DOCUMENT.decode().encode("cp037"), "content_type": "application/json; charset=ibm037"},
    "UTF-7": {"body": f"p+AGE-ssword={CANARY}".encode(), "content_type": f"{FORM}; charset=utf-7"},
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_secret_in_an_odd_place_does_not_leave(place: dict[str, Any]) -> None:
    """Nor does masking twice change what it masked."""
    assert_no_secrets([sent(**place)], [CANARY])
    for text in (place.get("headers") or {}).values():
        once = MASKER.headers({"location": text, "x": text})
        assert MASKER.headers(once) == once


WIDE = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compressobj()
COMPRESSED: dict[str, tuple[bytes, str]] = {
    "an unknown coding": (lzma.compress(DOCUMENT), "xz"),
    "three codings": (gzip.compress(gzip.compress(gzip.compress(DOCUMENT))), "gzip, gzip, gzip"),
    "a wrong checksum": (gzip.compress(DOCUMENT)[:-8] + bytes(8), "gzip"),
    "another coding than it says": (brotli.compress(DOCUMENT), "gzip"),
    "a window larger than RFC 9659 allows": (WIDE.compress(DOCUMENT) + WIDE.flush(), "zstd"),
    "nothing that says so": (gzip.compress(DOCUMENT), ""),
    "nothing that says so, deflate": (zlib.compress(LONG * 3), ""),
    "nothing that says so, br": (brotli.compress(json.dumps([*range(900)]).encode()), ""),
}  # fmt: skip


@pytest.mark.parametrize(("body", "coding"), COMPRESSED.values(), ids=COMPRESSED.keys())
def test_text_that_cannot_be_decoded_is_withheld_with_the_reason(body: bytes, coding: str) -> None:
    """Whoever can undo the coding could read the secret in it."""
    event = sent(body, "application/json", coding)
    assert base64.b64decode(event["request"]["body"]) == b"[REDACTED:undecodable]"
    assert event["request"]["transfer_encoding"] == "base64"
    assert event["metadata"]["request_body_problem"]


@pytest.mark.parametrize(
    ("body", "content_type", "coding"),
    [
        (lzma.compress(b"x" * 99), "image/png", "xz"),
        (lzma.compress(b"x" * 99), "application/octet-stream", "xz"),
        (lzma.compress(b"x" * 99), "application/zip", ""),
        (gzip.compress(b"x" * 99), "application/gzip", ""),
        (b"\x89PNG\0\1\2 secret_key\xa8", "image/png", ""),
        (b"\x81\xa5title\xa9secretary", "application/msgpack", ""),
        (b"\x0a\x0bpin\x01auth", "application/x-protobuf", ""),
        (b"plain words", "text/plain", "xz"),
        ("schöne Größe".encode("latin-1"), "text/plain", ""),
        ("シークレット".encode("shift_jis"), "text/plain; charset=shift_jis", ""),
        (bytes(range(256)), "", ""),
        (b"", "text/plain", ""),
    ],
)  # fmt: skip
def test_what_is_no_text_or_can_be_read_stays_byte_for_byte(body: bytes, content_type: str, coding: str) -> None:
    request = sent(body, content_type, coding)["request"]
    if not body:
        assert "body" not in request
    elif b"secretary" in body:
        # A word of the defaults, at the end of another: in binary data there is no telling.
        assert base64.b64decode(request["body"]) == b"[REDACTED:undecodable]"
    else:
        assert base64.b64decode(request["body"]) == body


@pytest.mark.parametrize(
    ("body", "coding", "cut"),
    [
        (gzip.compress(LONG), "gzip", 20),
        (zlib.compress(LONG), "deflate", 20),
        (brotli.compress(LONG), "br", 8),
        (zstandard.compress(LONG), "zstd", 5),
        (gzip.compress(DOCUMENT), "gzip", 30),
        (DOCUMENT, "gzip", 5),
        (DOCUMENT, "aws-chunked", 0),
    ],
)
def test_what_could_be_decoded_of_a_cut_body_is_masked(body: bytes, coding: str, cut: int) -> None:
    event = sent(body, "application/json", coding, cut)
    assert_no_secrets([event], [CANARY])
    assert CANARY.encode() not in json.dumps(event).encode()
    if cut:
        assert event["metadata"]["request_body_truncated"] == len(body)


def test_plain_text_that_claims_a_coding_is_read_as_what_it_is() -> None:
    event = sent(b'{"a": 1}', "application/json", "gzip")
    assert event["request"]["body"] == {"a": 1}
    assert event["metadata"]["request_body_problem"]


def test_withholding_has_a_switch() -> None:
    """Off, what cannot be decoded is base64 of what passed."""
    body, coding = COMPRESSED["three codings"]
    event = sent(body, "application/json", coding, masker=compile_masking(off=("undecodable",)))
    assert base64.b64decode(event["request"]["body"]) == body


HARMLESS = [
    {"name": "John Secret", "value": 12},
    {"key": "author", "value": "ann"},
    {"name": "password"},
    {"label": "password", "text": "Password"},
    {"name": {"password": 1}.keys().__len__(), "value": 2},
    {"path": "/api/token", "value": 1},
    {"key": "k" * 80 + "_password", "value": 1},
    {"html": '<a name="top" href="/x">Top</a><input name="q" value="words">'},
    {"html": '<form name="login_password"><p>Words</p></form>'},
    {"a": "50%45 of 100%3D", "b": "a%20b=c", "c": "100%"},
    {"yaml": "- name: colour\n  value: red\n- key: x\n  value: y"},
    {"url": "https://h/x?p%61ge=2&q=%22words%22"},
]


@pytest.mark.parametrize("document", HARMLESS)
def test_pairs_that_name_no_secret_stay(document: dict[str, Any]) -> None:
    data = json.dumps(document).encode()
    assert sent(data)["request"]["body"] == document
