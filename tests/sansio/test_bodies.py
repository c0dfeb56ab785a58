"""Bodies: whatever bytes passed, an event says the right thing about them."""

import base64
import gzip
import json
import os
import random
import sys
import time
import tracemalloc
import zlib

import brotli
import jiter
import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from moesif_middleware.sansio import bodies, decoding, jsontext


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
        (b'["' + b"[" * 99 + b'\\"]\\\\"]', ["[" * 99 + '"]\\']),
        (b"[" + b"[{}]," * 99 + b"1]", [[{}]] * 99 + [1]),
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
        b'["\\"]]]]]",' + b"[" * 64 + b"]" * 65,
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
        (b'{"a":1,"a":2}', True),
        (b"\xef\xbb\xbf[1]", False),
        (b'"\\ud800"', False),
        (b"[1e999]", False),
        (b"9" * 400, False),
    ],
)
def test_raw_is_kept_only_where_every_parser_reads_it(data, kept):
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


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("size", [*range(9), 47, 48, 49, 1000, 65_537])
def test_base64_is_the_same_with_and_without_a_package_for_it(monkeypatch, installed, size):
    if not installed:
        monkeypatch.setitem(sys.modules, "pybase64", None)
    bodies._encoder.cache_clear()
    data = random.Random(size).randbytes(size)
    try:
        body = bodies.base64(data)
        assert body.value == base64.b64encode(data).decode()
        assert body.encoded() == b'"%b"' % base64.b64encode(data)
    finally:
        bodies._encoder.cache_clear()


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
        ("gzip", gzip.compress(b"") * 99),
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
        (b"[0]=a", {"[0]": "a"}),
    ],
)
def test_urlencoded_forms_become_fields(data, fields):
    body = read(data, content_type="application/x-www-form-urlencoded; charset=utf-8")
    assert (body.transfer_encoding, body.value) == ("json", fields)


def test_what_is_no_form_is_base64():
    assert read(b"a=\x00", content_type="application/x-www-form-urlencoded").transfer_encoding == "base64"


def test_a_cut_form_loses_the_field_that_was_cut():
    body = read(b"a=1&secret=abc", total=99, content_type="application/x-www-form-urlencoded")
    assert body.value == {"a": "1"}


@pytest.mark.parametrize(
    ("content_type", "data", "value"),
    [
        ("application/json; charset=utf-16", '{"a":"\u00e9"}'.encode("utf-16"), {"a": "\u00e9"}),
        ("application/json", "[1]".encode("utf-16"), [1]),
        ("application/json; charset=ISO-8859-1", b'["\xe9"]', ["\u00e9"]),
        ("application/json; charset=ISO-8859-1", b'["\xc3\xa9"]', ["\u00e9"]),
        ("application/json; charset=zlib_codec", b"[1]", [1]),
    ],
)
def test_json_in_another_charset_is_read(content_type, data, value):
    assert read(data, content_type=content_type).value == value


def multipart(*parts: bytes, end: bytes = b"--XX--\r\n") -> bytes:
    return b"".join(b"--XX\r\n" + part + b"\r\n" for part in parts) + end


def field(name: str, content: bytes, *more: str) -> bytes:
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"', *more])
    return head.encode() + b"\r\n\r\n" + content


def file(name: str, filename: str, content: bytes) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: image/png'
    return head.encode() + b"\r\n\r\n" + content


CANARY = b"canary-in-a-file"


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (multipart(field("a", b"1"), field("b", b"2"), field("a", b"3")), {"a": ["1", "3"], "b": "2"}),
        (multipart(field("a", b"x\r\n--XY\r\ny")), {"a": "x\r\n--XY\r\ny"}),
        (multipart(field("a", b"x --XX y")), {"a": "x --XX y"}),
        (multipart(field("a", b"--XXmore")), {"a": "--XXmore"}),
        (multipart(file("f", "a.png", CANARY)), {"f": {"name": "a.png", "type": "image/png", "size": 16}}),
        (multipart(file("f", "", b"")), {"f": {"name": "", "type": "image/png", "size": 0}}),
        (multipart(file("f", "a%22b;c.png", b"\0")), {"f": {"name": 'a"b;c.png', "type": "image/png", "size": 1}}),
        (multipart(field("op", b'{"a":1}', "Content-Type: application/json")), {"op": {"a": 1}}),
        (multipart(field("op", b"{", "Content-Type: application/json")), {"op": "{"}),
        (multipart(field("bin", b"\xff\xfe")), {"bin": {"type": None, "size": 2}}),
        (multipart(b"\r\nno headers"), {"": "no headers"}),
        (multipart(b"Content-Disposition: form-data; name=n; name*=latin1'' x\r\n\r\n1"), {"n": "1"}),
        (multipart(field("a", b"1")).replace(b"\r\n", b"\n"), {"a": "1"}),
        (b"preamble\r\n" + multipart(field("a", b"1"), end=b"--XX--epilogue --XX\r\n"), {"a": "1"}),
        (
            multipart(b"Content-Disposition: form-data; name=n; filename*=utf-8''%e2%82%ac\r\n\r\n123"),
            {"n": {"name": "\u20ac", "type": None, "size": 3}},
        ),
    ],
)
def test_multipart_forms_become_fields_and_files_their_name_type_and_size(data, fields):
    body = read(data, content_type="multipart/form-data; boundary=XX")
    assert (body.transfer_encoding, body.value) == ("json", fields)
    assert CANARY not in body.encoded()


@pytest.mark.parametrize("quoted", ['multipart/form-data; boundary="XX"', "multipart/form-data;charset=x; BOUNDARY=XX"])
def test_the_boundary_may_be_quoted(quoted):
    assert read(multipart(field("a", b"1")), content_type=quoted).value == {"a": "1"}


WHOLE = multipart(field("a", b"1"), file("f", "a.png", CANARY * 9), field("secret", b"hunter2-" * 9))


FILE_WHOLE = WHOLE.rindex(b"--XX\r\n") + len(b"--XX\r\n")


def test_a_form_cut_anywhere_shows_no_part_of_a_value_and_nothing_of_a_file():
    for size in range(5, len(WHOLE)):
        body = read(WHOLE[:size], total=len(WHOLE), content_type="multipart/form-data; boundary=XX")
        assert body.transfer_encoding == "json"
        assert b"canary" not in body.encoded()
        assert body.value.get("secret", "hunter2-" * 9) == "hunter2-" * 9
        if "f" in body.value:
            found = body.value["f"]
            assert (found["name"], found["type"]) == ("a.png", "image/png")
            # What follows a file that was cut may be the beginning of a delimiter.
            assert found["size"] <= len(CANARY * 9 + b"\r\n--XX\r\n")
            assert ("cut" in found) == (size < FILE_WHOLE)


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=YY", "multipart/mixed"])
def test_multipart_that_cannot_be_read_is_base64(content_type):
    assert read(WHOLE, content_type=content_type).transfer_encoding == "base64"


def test_fields_have_a_bound():
    many = b"&".join(b"a%d=1" % number for number in range(1500))
    body = read(many, content_type="application/x-www-form-urlencoded")
    assert (len(body.value), body.notes["fields_left_out"]) == (1000, 500)
    body = read(
        multipart(*[field(f"a{number}", b"1") for number in range(1500)]),
        content_type="multipart/form-data; boundary=XX",
    )
    assert (len(body.value), body.notes["fields_left_out"]) == (1000, 501)


@pytest.mark.parametrize(
    ("kind", "data", "total", "value"),
    [
        ("text/event-stream", b"data: a\n\ndata: b\n\n", None, [{"data": "a"}, {"data": "b"}]),
        (
            "text/event-stream",
            b'event: x\r\nid: 7\r\ndata: {"a":1}\r\n\r\n',
            None,
            [{"event": "x", "id": "7", "data": {"a": 1}}],
        ),
        ("text/event-stream", b": ping\n\ndata: a\ndata:b\n\n", None, [{"data": "a\nb"}]),
        ("text/event-stream", b"data: a\n\ndata: secret", 999, [{"data": "a"}]),
        ("text/event-stream", b"data: secr", 999, []),
        ("application/x-ndjson", b'{"a":1}\n\n[2]\r\nlog line\n', None, [{"a": 1}, [2], "log line"]),
        ("application/jsonl", b'{"a":1}\n{"secret":"x', 999, [{"a": 1}]),
    ],
)
def test_streams_are_their_first_records_with_the_count_and_size_of_what_passed(kind, data, total, value):
    body = bodies.read(data, total=total or len(data), content_type=kind, content_encoding="", limit=9999, chunks=42)
    assert (body.transfer_encoding, body.value) == ("json", value)
    assert body.notes["stream"] == {"chunks": 42, "bytes": total or len(data), "records": len(value)}


@pytest.mark.parametrize(("kind", "record"), [("text/event-stream", b"data: 1\n\n"), ("application/jsonl", b"1\n")])
def test_a_stream_of_many_records_shows_the_first_thousand(kind, record):
    body = read(record * 3000, content_type=kind)
    assert len(body.value) == body.notes["stream"]["records"] == 1000


@pytest.mark.parametrize(("kind", "data"), [("text/event-stream", b"hello"), ("application/x-ndjson", b"x\ny\n")])
def test_a_stream_that_is_not_what_it_says_is_base64(kind, data):
    assert read(data, content_type=kind).transfer_encoding == "base64"


@pytest.mark.parametrize(
    ("document", "notes"),
    [
        ({"query": "query GetUser($id: ID!) { user(id: $id) { name } }"}, {"name": "GetUser", "type": "query"}),
        ({"query": "{ me { name } }"}, {"type": "query"}),
        ({"query": "# hi\nmutation M { x }", "operationName": None}, {"name": "M", "type": "mutation"}),
        ({"query": "query A{a} query B{b}", "operationName": "B"}, {"name": "B", "type": "query"}),
        ({"operationName": "Persisted", "extensions": {"persistedQuery": {}}}, {"name": "Persisted"}),
        ([{"query": "query A {a}"}, {"query": "{b}"}], {"name": ["A", None], "type": ["query", "query"]}),
        ({"query": "SELECT 1"}, {}),
        ({"query": {"match_all": {}}}, {}),
        ({"operationName": "x"}, {}),
    ],
)
def test_a_graphql_request_names_its_operation(document, notes):
    body = read(json.dumps(document).encode())
    assert body.notes == {f"graphql_operation_{key}": value for key, value in notes.items()}


@pytest.mark.parametrize("name", ["query", "\\u0071uery"])
@pytest.mark.parametrize("form", ["%s", "[%s, 1]"])
def test_a_large_graphql_request_names_its_operation_too(name, form):
    document = form % f'{{"{name}": "query A {{a}}", "variables": {{"x": "{"y" * 5_000}"}}}}'
    assert read(document.encode()).notes["graphql_operation_type"] in ("query", ["query"])


def as_parsed(data: bytes):
    """What ``parse`` makes of bytes that it gives back as they passed, else None."""
    try:
        value, raw = jsontext.parse(data)
    except ValueError:
        return None
    return value if raw == data else None


LEFT_TO_THE_PARSER = [b"[1e999]", b"[1E3]", b"9" * 400, b"[%s]" % (b"9" * 400), b"[" * 65 + b"]" * 65, b'["\\ud800"]']


@pytest.mark.parametrize(
    "data", [b"{}", b'[{"a": [true, false, null, -1.5, "e\\u00e9\\ud83d\\ude00"]}]', b"[" * 64 + b"]" * 64]
)
def test_an_ordinary_document_has_an_outline(data):
    """Otherwise every document would be parsed, and nobody would notice."""
    assert jsontext.outline(data) is not None
    assert jsontext.shallow(data)


@pytest.mark.parametrize("data", LEFT_TO_THE_PARSER)
def test_what_some_parser_may_refuse_has_no_outline_or_is_not_shallow(data):
    assert jsontext.outline(data) is None or not jsontext.shallow(data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)
DAMAGE = st.lists(st.tuples(st.integers(0, 200), st.sampled_from([*b'{}[]",:\\/ue09-+.E\n\0\xc3\xa9\xff'])), max_size=3)


@settings(max_examples=500, deadline=None)
@given(VALUES, DAMAGE, st.booleans())
def test_a_shallow_document_with_an_outline_is_parsed_to_the_same_names_and_kept(value, damage, ascii_only):
    """The fast way says yes only where the slow one does, whatever byte is wrong."""
    data = bytearray(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    for place, byte in damage:
        data[place % len(data)] = byte
    found = jsontext.outline(bytes(data))
    if found is not None and jsontext.shallow(bytes(data)):
        parsed = as_parsed(bytes(data))
        assert type(parsed) is type(found)
        assert len(parsed) == len(found)
        assert not isinstance(parsed, dict) or parsed.keys() == found.keys()


def cut_as_before(data: bytes):
    """What ``_partial`` makes of a cut document when it always tries the whole one first."""
    try:
        return jiter.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        if not str(error).startswith("EOF"):
            raise
    return jiter.from_json(data, allow_inf_nan=False, partial_mode="on")


@settings(max_examples=500, deadline=None)
@given(VALUES, DAMAGE, st.integers(1, 400), st.booleans())
def test_a_look_that_tells_a_cut_from_a_fault_changes_nothing(value, damage, length, ascii_only):
    """The beginning of a document is read as far as it goes, one with a wrong byte in it not at all."""
    data = bytearray(json.dumps([value, value], ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")[:length])
    for place, byte in damage:
        data[place % len(data)] = byte
    found = []
    for read_partly in (jsontext._partial, cut_as_before):
        try:
            found.append(repr(read_partly(bytes(data))))
        except ValueError:
            found.append("refused")
    assert found[0] == found[1]


@settings(max_examples=500, deadline=None)
@given(VALUES, DAMAGE, st.integers(1, 400), st.booleans())
def test_a_cut_document_that_is_completed_says_what_was_read_of_it_before(value, damage, length, ascii_only):
    """What of the guess is JSON has the same value as the slow way, which looks at every byte."""
    data = bytearray(
        json.dumps({"a": [value, {"b": value}], "c": value}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    )
    data = data[:length]
    for place, byte in damage:
        data[place % len(data)] = byte
    completed = jsontext.completed(bytes(data))
    if completed is not None and jsontext.outline(completed) is not None and jsontext.shallow(completed):
        assert repr(jsontext.exact(completed)) == repr(jsontext.read_cut(bytes(data))[0])


ITEMS = b'{"items": [' + b'{"id": 12345, "name": "a name", "tags": ["x", "y"], "of": {"k": null}}, ' * 40


@pytest.mark.parametrize(
    ("tail", "end"),
    [
        (b"", b"]}"),
        (b'{"id": 12345, "name": "a na', b',{"id":12345}]}'),
        (b'{"id": 12345, "tags": ["x", "y"', b',{"id":12345,"tags":["x","y"]}]}'),
        (b'{"id": 12345, "tags": ["x", "y"]', b', {"id": 12345, "tags": ["x", "y"]}]}'),
        (b'{"id": 12345, "tags": ["x", "y"], "n', b', {"id": 12345, "tags": ["x", "y"]}]}'),
        (b'{}], "next": "/items?page=2', b", {}]}"),
        (b'{}], "next": "/items?page=2"', b', {}],"next":"/items?page=2"}'),
        (b'{}], "more": true', b', {}],"more":true}'),
        (b'{}], "count": 12', b", {}]}"),
        (b"{}]}  ", b", {}]}"),
    ],
)
def test_a_large_document_that_was_cut_is_not_parsed(tail, end):
    body = read(ITEMS + tail, total=10_000)
    assert body.raw == ITEMS.rstrip(b", ") + end
    assert json.loads(body.raw) == jsontext.read_cut(ITEMS + tail)[0]
    assert body.notes == {"truncated": 10_000}


@pytest.mark.parametrize(
    "tail",
    [
        b'{"name": "a ] b", "of": {"k": "a [',
        b'"a } b',
        b'"a [ b", {"k": "l',
        b'"\\"} b',
        b'[1e400, {"a": 1}, "b',
        b"[9, " * 30,
    ],
)
def test_brackets_in_strings_and_what_no_parser_reads_are_left_to_the_parser(tail):
    assert read(ITEMS + tail, total=10_000).value == jsontext.read_cut(ITEMS + tail)[0]


@pytest.mark.parametrize("tail", [b"] x", b'{"a": 1}}', b'{"a": 1} {"b": 2', b"{}]} {", b"[" * 70])
def test_what_is_no_beginning_of_json_is_not_completed(tail):
    assert read(ITEMS + tail, total=10_000).transfer_encoding == "base64"


@pytest.mark.parametrize(
    "data", [b"[" * 50_000 + b"]" * 49_999, b"[]" * 50_000, b"[{" * 30_000, b"[[]" * 33_333, b'["]' * 33_333]
)
def test_brackets_take_no_time_to_complete(data):
    began = time.thread_time()
    jsontext.completed(data)
    assert time.thread_time() - began < 0.1


def test_a_large_document_is_parsed_when_asked_for_and_not_kept():
    data = b"[" + b"[]," * 60_000 + b"[]]"
    tracemalloc.start()
    body = read(data, limit=460_800)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(body.value) == 60_001
    assert kept < 100_000


ZEROS = bytes(10_000_000)
BOMBS = {
    "gzip": gzip.compress(ZEROS),
    "deflate": zlib.compress(ZEROS),
    "br": brotli.compress(ZEROS, quality=5),
    "zstd": zstandard.compress(ZEROS),
    "gzip, gzip": gzip.compress(gzip.compress(ZEROS)),
    "zstd, br": brotli.compress(zstandard.compress(ZEROS)),
    "br, gzip": gzip.compress(brotli.compress(ZEROS, lgwin=24)),
}


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_bomb_costs_no_more_memory_than_the_bound(encoding):
    data, limit = BOMBS[encoding], 100_000
    read(data, encoding=encoding)
    tracemalloc.start()
    body = read(data, encoding=encoding, limit=limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The body is held decoded and as base64 text.
    assert peak < 3 * limit + 2_000_000
    assert base64.b64decode(body.value) == bytes(limit)
    assert body.notes["truncated"] == len(data)


@pytest.mark.parametrize("window", range(10, 25))
@pytest.mark.parametrize("size", [10, 99_999, 100_000, 100_001, 150_000, 270_000, 1_000_000])
def test_brotli_is_decoded_alike_whatever_its_window(window, size):
    data = (os.urandom(40_000) * 2 + b"some text, " * 900 + os.urandom(3000).hex().encode()) * 12
    body = read(brotli.compress(data[:size], quality=4, lgwin=window), encoding="br")
    assert base64.b64decode(body.value) == data[: min(size, 100_000)]


def test_without_the_optional_decoders_the_original_is_kept(monkeypatch):
    monkeypatch.setattr(decoding, "_brotli_package", lambda: None)
    monkeypatch.setattr(decoding, "_zstd_package", lambda: None)
    for encoding, data in (("br", brotli.compress(DOCUMENT)), ("zstd", zstandard.compress(DOCUMENT))):
        body = read(data, encoding=encoding)
        assert base64.b64decode(body.value) == data
        assert "not installed" in body.notes["problem"]


TYPES = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=XX",
    "text/event-stream",
    "application/x-ndjson",
    "text/plain; charset=utf-16",
    "",
]
ENCODINGS = ["", "gzip", "deflate", "br", "zstd", "gzip, br", "x"]
SEEDS = [
    WHOLE,
    DOCUMENT,
    b'{"a":[{"b":"\\ud800"},1e999,-0.0]}',
    b"data: x\n\n",
    b"a=1&b=2",
    b"[" * 300,
    b"\xef\xbb\xbf{}",
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Bytes near something that is read: a seed cut, spliced and coded."""
    data = draw(st.one_of(st.binary(max_size=300), st.sampled_from(SEEDS)))
    place = draw(st.integers(0, len(data)))
    data = data[:place] + draw(st.binary(max_size=8)) + data[draw(st.integers(0, len(data))) :]
    coder = draw(st.sampled_from([bytes, gzip.compress, zlib.compress, brotli.compress, zstandard.compress]))
    data = coder(data)
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


@given(
    damaged(),
    st.integers(0, 3),
    st.sampled_from(TYPES),
    st.sampled_from(ENCODINGS),
    st.sampled_from([1, 64, 1000, 460_800]),
)
def test_whatever_passed_the_body_is_json_that_every_parser_reads(data, missing, content_type, encoding, limit):
    body = bodies.read(
        data, total=len(data) + missing, content_type=content_type, content_encoding=encoding, limit=limit, chunks=2
    )
    if body is None:
        assert not data
        assert not missing
        return
    text = body.encoded()
    value = json.loads(text, parse_constant=pytest.fail)
    jiter.from_json(text, allow_inf_nan=False)
    assert orjson.loads(text) is not Ellipsis
    if body.raw is None:
        assert value == json.loads(jsontext.dump(body.value))
    if body.transfer_encoding == "base64":
        assert len(base64.b64decode(value)) <= max(limit, len(data))
