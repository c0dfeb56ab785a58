"""``moesif-middleware rules explain``: what rules and config decide about a request, rule by rule, and why.

The files hold what the collector answers to GET /v1/rules and GET /v1/config, and one request: an event as it is
posted (``request``, ``response``, ``user_id``, ``company_id``), or the ``request`` alone with the ids in it.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from ..errors import ConfigurationError, InvalidPayload
from ..sansio.conditions import Subject
from ..sansio.explain import explain
from ..sansio.governance import EMPTY, compile_config, compile_rules
from ..sansio.recorded import recorded_id, recorded_subject

Compiled = TypeVar("Compiled")

_EXAMPLE = 'write for example {"verb": "GET", "uri": "/items", "user_id": "u1"}'
_EVENT_KEYS = {"request": dict, "response": dict, "user_id": (str, int), "company_id": (str, int)}
_REQUEST_KEYS = {"verb": str, "uri": str, "route": str, "headers": dict, "ip_address": str, "transfer_encoding": str}
_KINDS = {str: "text", dict: "a JSON object", int: "a whole number", (str, int): "text"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's one action and its options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    command = actions.add_parser("explain", help="explain what is decided for one request")
    add = command.add_argument
    add("--rules", metavar="FILE", help="JSON array of rules, as GET /v1/rules answers (default: none)")
    add("--config", metavar="FILE", help="JSON object, as GET /v1/config answers (default: empty)")
    add("--request", metavar="FILE", required=True, help="JSON object: an event, or its request with user_id beside it")
    add("--json", action="store_true", help="print JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation. Raises ConfigurationError for a file that cannot be used."""
    snapshot = EMPTY
    if arguments.rules:
        snapshot = snapshot.with_rules(_compiled("rules", arguments.rules, compile_rules))
    if arguments.config:
        snapshot = snapshot.with_config(_compiled("config", arguments.config, compile_config))
    event = _event(_read("request", arguments.request))
    explanation = explain(snapshot, _subject(event), recorded_id(event, "user_id"), recorded_id(event, "company_id"))
    if arguments.json:
        sys.stdout.write(orjson.dumps(explanation.as_dict(), option=orjson.OPT_INDENT_2).decode() + "\n")
        return 0
    print(explanation)
    return 0


def _read(key: str, name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigurationError(key, f"cannot read {name}: {error.strerror or error}") from None


def _compiled(key: str, name: str, compile_document: Callable[[bytes], Compiled]) -> Compiled:
    try:
        return compile_document(_read(key, name))
    except InvalidPayload as error:
        raise ConfigurationError(key, f"{error}; save the answer of GET /v1/{key} in {name}") from None


def _event(data: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError("request", f"is not a JSON object: {error}; {_EXAMPLE}") from None
    if not isinstance(document, dict):
        raise ConfigurationError("request", f"is not a JSON object; {_EXAMPLE}")
    _expect(document, _EVENT_KEYS, "")
    if "request" not in document:
        _expect(document, _REQUEST_KEYS, "", (*_EVENT_KEYS, *_REQUEST_KEYS, "body"))
        return {**document, "request": document}
    request = document["request"] or {}
    _expect(request, _REQUEST_KEYS, "request.", (*_REQUEST_KEYS, "body"))
    _expect(document.get("response") or {}, {"status": int}, "response.")
    return {**document, "request": request}


def _expect(document: Mapping[str, Any], kinds: Mapping[str, Any], prefix: str, near: Iterable[str] = ()) -> None:
    """Raise ConfigurationError for a value of the wrong type, and for a key that is one of ``near`` misspelt."""
    for key, value in document.items():
        kind = kinds.get(key)
        if kind is not None and value is not None and not isinstance(value, kind):
            raise ConfigurationError(f"{prefix}{key}", f"is {type(value).__name__}; write {_KINDS[kind]}")
        # Other keys of an event mean nothing to rules, but a misspelt one would be missed without a word.
        meant = [] if key in (near or (key,)) else difflib.get_close_matches(key, near, 1, cutoff=0.8)
        if meant and meant[0] not in document:
            raise ConfigurationError(f"{prefix}{key}", f"is not read; write {meant[0]}")


def _subject(event: Mapping[str, Any]) -> Subject:
    try:
        urlsplit(event["request"].get("uri") or "/")
    except ValueError as error:
        raise ConfigurationError("uri", f"is no URI: {error}; write a path or a whole URI") from None
    return recorded_subject(event)
