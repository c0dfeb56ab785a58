"""Bodies: whatever bytes passed, an event says the right thing about them."""

import base64
import gzip
import json
import zlib

import brotli
import pytest
import zstandard

from moesif_middleware.sansio import bodies


def read(data: bytes, *, total: int | None = None, content_type: str = "", encoding: str = "", limit: int = 100_000):
    return bodies.read(
        data,
        total=len(data) if total is None else total,
        content_type=content_type,
        content_encoding=encoding,
        limit=limit,
    )


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b" \r\n\t[1]\n", [1]),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"12", 12),
        (b"-1.5e3", -1500.0),
        (b'"x"', "x"),
        (b"null", None),
        (b"true", True),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'["\\ud800", "a\\\\ud800"]', ["\ufffd", "a\\ud800"]),
        (b'"\\udc00\\ud800"', "\ufffd\ufffd"),
        (b"18446744073709551616", 2**64),
        (b"[1e999]", ["1e999"]),
        (b"9" * 400, "9" * 400),
        (b"9" * 5000, "9" * 5000),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"[" * 64 + b"]" * 64, json.loads("[" * 64 + "]" * 64)),
    ],
)
def test_json_is_judged_by_the_bytes(data, value):
    body = read(data, content_type="text/plain")
    assert (body.transfer_encoding, body.value) == ("json", value)


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"NaN",
        b"[NaN]",
        b"-Infinity",
        b"[1,]",
        b"[1] x",
        b'{"a":1}{"b":2}',
        b"\xef\xbb\xbf",
        b"\x00\x01",
        b'"\xff"',
        b'"a\x00b"',
        b"01",
        b"[" * 65 + b"]" * 65,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 10_000,
    ],
)
def test_what_is_not_json_is_base64_of_the_bytes(data):
    body = read(data, content_type="application/json")
    assert body.transfer_encoding == "base64"
    assert base64.b64decode(body.value) == data


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b'{"a": 1.10}', True),
        (b'{"a":"\\u00e9"}', True),
        (b'{"n": 18446744073709551616}', True),
        (b'{"a":1,"a":2}', False),
        (b'{"a":"\\u003a","a":2}', False),
        (b"\xef\xbb\xbf[1]", False),
        (b'"\\ud800"', False),
        (b"[1e999]", False),
        (b"9" * 400, False),
    ],
)
def test_raw_is_kept_only_where_every_parser_reads_it_alike(data, kept):
    assert read(data).raw == (data if kept else None)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":1,"b":"xyz', {"a": 1}),
        (b'{"a":1,"b":123', {"a": 1}),
        (b'{"a":1,"b":"x","c', {"a": 1, "b": "x"}),
        (b"[1,2,tr", [1, 2]),
        (b"[true,true", [True, True]),
        (b'{"a":{"b":[1,{"c":"d"', {"a": {"b": [1, {"c": "d"}]}}),
        (b'["\\ud800", "x', ["\ufffd"]),
        (b'["a", "\xe2\x82', ["a"]),
        (b"[12345678901234567890123, ", [12345678901234567890123]),
        (b'{"a":1}', {"a": 1}),
    ],
)
def test_cut_json_stays_json_without_what_the_cut_went_through(data, value):
    body = read(data, total=1_000_000)
    assert (body.transfer_encoding, body.value) == ("json", value)
    assert body.notes["truncated"] == 1_000_000


@pytest.mark.parametrize("data", [b"[1 x", b"[1,nope", b"[1] x", b'{"a":1}{"b', b'"abc', b"12", b"[" * 90])
def test_what_does_not_begin_json_is_base64_when_cut(data):
    body = read(data, total=1_000_000)
    assert body.transfer_encoding == "base64"
    assert body.notes["truncated"] == 1_000_000


def test_nothing_passed_is_no_body():
    assert read(b"") is None


DOCUMENT = json.dumps({"rows": list(range(3000))}).encode()


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("identity", bytes),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
        ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
        ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
        ("zstd", lambda data: zstandard.compress(data[:9]) + zstandard.compress(data[9:])),
        ("gzip", lambda data: gzip.compress(data) + b"\0\0\0"),
    ],
)
def test_content_codings_are_undone(encoding, encode):
    body = read(encode(DOCUMENT), encoding=encoding)
    assert body.raw == DOCUMENT
    assert body.notes == {}


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b"plain"),
        ("gzip", gzip.compress(DOCUMENT)[:12]),
        ("br", b"garbage garbage"),
        ("zstd", b"garbage"),
        ("deflate", b"\xff\xff\xff"),
        ("compress", b"x"),
        ("gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(b"1")))),
    ],
)
def test_what_cannot_be_decoded_is_base64_of_what_passed(encoding, data):
    body = read(data, encoding=encoding)
    assert base64.b64decode(body.value) == data
    assert body.notes["problem"]


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"a=1&b=2&a=3", {"a": ["1", "3"], "b": "2"}),
        (b"name=J%C3%BCrgen+M&empty=&flag", {"name": "J\u00fcrgen M", "empty": "", "flag": ""}),
        (b"a=%zz&&b=%ff", {"a": "%zz", "b": "\ufffd"}),
        (b'{"a":1}', {"a": 1}),
        (b"123", {"123": ""}),
    ],
)
def test_urlencoded_forms_become_fields(data, fields):
    body = read(data, content_type="application/x-www-form-urlencoded; charset=utf-8")
    assert (body.transfer_encoding, body.value) == ("json", fields)


def test_a_cut_form_loses_the_field_that_was_cut():
    body = read(b"a=1&secret=abc", total=99, content_type="application/x-www-form-urlencoded")
    assert body.value == {"a": "1"}
