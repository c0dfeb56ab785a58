"""``moesif-middleware mask test FILE``: show what the masking rules take out of a document, and by which rule.

The document is an event, a list of events, any other JSON, a form, or text; ``-`` or nothing reads standard input.
"""

from __future__ import annotations

import argparse
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import orjson

from ..errors import ConfigurationError, InvalidModel
from ..models import Event
from ..sansio import bodies
from ..sansio.masking import RULES, Masked, Masker, compile_masking

_OPTIONS = {
    "off": ("RULE", "default rules to switch off"),
    "extra-names": ("NAME", "further names, compared word by word"),
    "headers": ("NAME", "further header names"),
    "query": ("NAME", "further query parameter names"),
    "body-paths": ("PATH", "paths in JSON bodies, such as $.items[*].note"),
    "values": ("PATTERN", "RE2 patterns of further values"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser("test", help="mask a document and say what was masked by which rule")
    test.add_argument("file", nargs="?", default="-", metavar="FILE", help="what to mask; - is standard input")
    test.add_argument("--content-type", default="", help="how to read it, such as application/x-www-form-urlencoded")
    for name, (metavar, summary) in _OPTIONS.items():
        test.add_argument(f"--{name}", nargs="+", action="extend", default=[], metavar=metavar, help=summary)
    actions.add_parser("rules", help="list the names of the default rules")


def run(arguments: argparse.Namespace) -> int:
    """Print what was masked, then the result. Raises ConfigurationError for a bad option or file."""
    if arguments.action == "rules":
        print("\n".join(RULES))
        return 0
    masker = compile_masking(
        **{name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name in _OPTIONS}
    )
    report: list[Masked] = []
    result = _masked(masker, _read(arguments.file), arguments.content_type, report)
    width = max((len(item.path) for item in report), default=0)
    for item in report:
        print(f"{item.path:{width}}  {item.rule}")
    if not report:
        print("nothing was masked")
    print(f"\n{result}")
    return 0


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError("FILE", f"{file!r} cannot be read: {error.strerror}") from None


def _masked(masker: Masker, data: bytes, content_type: str, report: list[Masked]) -> str:
    body = bodies.read(data, total=len(data), content_type=content_type, content_encoding="", limit=len(data))
    if body is None:
        return ""
    if body.transfer_encoding == "base64":
        return b64decode(masker.body(body, report, "text").value).decode("utf-8", "replace")
    value = body.value
    events = _events(value)
    if not events:
        return _pretty(masker.body(body, report, "$").value)
    several = isinstance(value, list)
    masked = [_masked_event(masker, event, f"[{n}]." if several else "", report) for n, event in enumerate(events)]
    return _pretty(masked if several else masked[0])


def _events(value: Any) -> list[Event]:
    """Return the events that a document is, none when it is something else."""
    documents = value if isinstance(value, list) else [value]
    if not all(isinstance(document, dict) and isinstance(document.get("request"), dict) for document in documents):
        return []
    try:
        return [Event.from_wire(document) for document in documents]
    except InvalidModel:
        # Another kind of document that happens to have a request.
        return []


def _masked_event(masker: Masker, event: Event, prefix: str, report: list[Masked]) -> dict[str, Any]:
    found: list[Masked] = []
    masked = masker.event(event, found)
    report += (Masked(prefix + item.path, item.rule) for item in found)
    return masked.to_wire()


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
