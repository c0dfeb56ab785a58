"""``moesif-middleware mask``: what is masked, where and by which rule; and ``testing.assert_no_secrets``."""

from __future__ import annotations

import io
import sys
from base64 import b64encode
from pathlib import Path

import orjson
import pytest

from moesif_middleware.cli import main
from moesif_middleware.models import Event, EventRequest, EventResponse
from moesif_middleware.sansio.masking import RULES
from moesif_middleware.testing import assert_no_secrets

EVENT = {
    "request": {
        "time": "2026-11-25T04:00:00.000Z",
        "uri": "https://x.example/?token=abc",
        "verb": "POST",
        "headers": {"authorization": "x"},
        "body": {"items": [{"pin": 1}]},
        "transfer_encoding": "json",
    }
}


@pytest.fixture
def mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(document: bytes, *options: str) -> tuple[list[str], str]:
        file = tmp_path / "document"
        file.write_bytes(document)
        assert main(["mask", "test", str(file), *options]) == 0
        report, _, result = capsys.readouterr().out.partition("\n\n")
        return report.splitlines(), result.strip()

    return run


def test_an_event(mask) -> None:
    """An event is masked as it would be before it is sent."""
    report, result = mask(orjson.dumps(EVENT))
    assert [line.split() for line in report] == [
        ["request.uri?token", "token"],
        ["request.headers.authorization", "authorization"],
        ["request.body.items[0].pin", "pin"],
    ]
    assert orjson.loads(result)["request"]["body"] == {"items": [{"pin": "[REDACTED:pin]"}]}


def test_a_list_of_events(mask) -> None:
    """Several events are told apart by their place."""
    report, result = mask(orjson.dumps([EVENT, EVENT]))
    assert len(orjson.loads(result)) == 2
    assert report[-1].split() == ["[1].request.body.items[0].pin", "pin"]


@pytest.mark.parametrize(
    ("document", "options", "report", "result"),
    [
        (b'{"a":[{"password":"x"}]}', (), [["$.a[0].password", "password"]], '"[REDACTED:password]"'),
        (b'{"request":{"pin":1}}', (), [["$.request.pin", "pin"]], '"[REDACTED:pin]"'),
        (b"user=a&password=b", (), [["text", "password"]], "user=a&password=[REDACTED:password]"),
        (
            b"user=a&password=b",
            ("--content-type", "application/x-www-form-urlencoded"),
            [["$.password", "password"]],
            '"[REDACTED:password]"',
        ),
        (b'{"a":1}', (), [["nothing", "was", "masked"]], '"a": 1'),
        (b'{"pin":1}', ("--off", "pin"), [["nothing", "was", "masked"]], '"pin": 1'),
        (b'{"shoe size":1}', ("--extra-names", "shoe size"), [["$.shoe", "size", "shoe_size"]], "[REDACTED:shoe_size]"),
        (b'{"a":{"b":1}}', ("--body-paths", "$.a.b"), [["$.a.b", "body_path"]], "[REDACTED:body_path]"),
        (b'["x 12"]', ("--values", "x [0-9]+"), [["$[0]", "value"]], "[REDACTED:value]"),
    ],
)
def test_other_documents(mask, document: bytes, options: tuple[str, ...], report: list[list[str]], result: str) -> None:
    """JSON, a form and text are masked as bodies are, with the rules that the options ask for."""
    lines, masked = mask(document, *options)
    assert [line.split() for line in lines] == report
    assert result in masked


@pytest.mark.parametrize("argument", [["-"], []])
def test_standard_input(
    argument: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file standard input is read."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"pin":1}')))
    assert main(["mask", "test", *argument]) == 0
    assert "$.pin  pin" in capsys.readouterr().out


def test_bad_options_are_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A rule that does not exist, or a file that cannot be read, is status 2 and one line."""
    assert main(["mask", "test", "--off", "pasword", "--", "x"]) == 2
    assert "did you mean 'password'?" in capsys.readouterr().err
    assert main(["mask", "test", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every default rule has a name that --off takes."""
    assert main(["mask", "rules"]) == 0
    assert capsys.readouterr().out.split() == list(RULES)


CANARY = "c4n4ry"


def event(**parts: object) -> Event:
    body = parts.pop("body", None)
    response = EventResponse(
        0.0, 200, body=body, transfer_encoding=None if body is None else str(parts.pop("encoding", "json"))
    )
    return Event(EventRequest(0.0, str(parts.pop("uri", "/")), "GET"), response, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (event(body={"a": [CANARY]}), "event 0, response.body.a[0]: 'c4n4ry'"),
        (event(body={CANARY: 1}), "response.body.c4n4ry (name)"),
        (event(body=b64encode(f"x {CANARY}".encode()).decode(), encoding="base64"), "response.body"),
        (event(body=b64encode(f"x {CANARY}".encode("utf-16")).decode(), encoding="base64"), "response.body"),
        (event(uri="/a?b=c%34n4ry"), "request.uri"),
        (event(uri="/a?b=%2563%2534n4ry"), "request.uri"),
        (event(user_id=f"Basic {b64encode(f'a:{CANARY}'.encode()).decode()}"), "user_id"),
        (event(metadata={"a": {"b": CANARY}}), "metadata.a.b"),
        ({"request": {"uri": CANARY}}, "request.uri"),
        (b'{"a":"\\u0063\\u0034n4ry"}', "event 0, a"),
    ],
)
def test_a_canary_is_found(found: object, path: str) -> None:
    """Wherever a canary hides, the assertion fails and says where."""
    with pytest.raises(AssertionError) as caught:
        assert_no_secrets([found], [CANARY])  # type: ignore[list-item]
    assert path in str(caught.value)


def test_a_number_and_bytes_are_canaries_too() -> None:
    """A canary may be part of a number, or bytes that are no text."""
    with pytest.raises(AssertionError, match="metadata"):
        assert_no_secrets([event(metadata={"n": 4111111111111111})], ["411111111"])
    body = b64encode(b"\0\xff\xfe\1").decode()
    with pytest.raises(AssertionError, match="body"):
        assert_no_secrets([event(body=body, encoding="base64")], [b"\xff\xfe\1"])


def test_no_canary_is_no_failure() -> None:
    """Events without a canary pass; a check that cannot fail is refused."""
    assert_no_secrets([event(body={"a": 1}), b'{"a":1}'], [CANARY, b"\xff"])
    assert_no_secrets([], CANARY)
    for nothing in ([], [""], ""):
        with pytest.raises(ValueError, match="at least one canary"):
            assert_no_secrets([event()], nothing)
