"""The ``{{name}}`` and ``{{name|default}}`` of governance rules: split when the rule is loaded, joined when it applies.

Reference, "Rules": ``variables``, and "Config": the ``values`` of an entity's entry. A template is rendered in one
pass, so a value that looks like a template stays as it is. A body is a template over its JSON text, so that every
rendering is a copy and no nesting is walked: outside of strings no JSON has two opening braces in a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import orjson

UNKNOWN = "UNKNOWN"
"""What a declared variable gives that has neither value nor default."""

# Compiled by the first template, not by every start of an application.
_IN_TEXT = r"\{\{([^{}|]+)(?:\|([^{}]*))?\}\}"
# A bare quote ends a JSON string, so a name or default cannot reach over it; an escaped one is part of it.
_CHARACTER = r'(?:[^{}|"\\]|\\.)'
_IN_JSON = r"\{\{(" + _CHARACTER + r"+)(?:\|((?:" + _CHARACTER + r"|\|)*))?\}\}"


def json_escape(text: str) -> str:
    """Return the text as it stands between the quotes of a JSON string."""
    try:
        return orjson.dumps(text)[1:-1].decode()
    except orjson.JSONEncodeError:
        return orjson.dumps(text.encode("utf-8", "replace").decode())[1:-1].decode()


def plain(text: str) -> str:
    """Return the text itself: the escape of a template that is not JSON."""
    return text


class Template(NamedTuple):
    """Text with variables in it: each part is the text before a variable, its name and its default, escaped."""

    parts: tuple[tuple[str, str, str], ...]
    tail: str
    escape: Callable[[str], str] = plain

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with the values in the places of their variables."""
        if not self.parts:
            return self.tail
        pieces = []
        for before, name, default in self.parts:
            value = values.get(name)
            pieces.append(before)
            pieces.append(default if value is None else self.escape(value))
        return "".join(pieces) + self.tail


def compile_template(text: str, variables: Iterable[str], escape: Callable[[str], str] = plain) -> Template:
    """Split a text at the declared variables. With ``json_escape`` the text is JSON; what is not declared stays."""
    names = {escape(name): name for name in variables}
    parts, at = [], 0
    for found in re.finditer(_IN_TEXT if escape is plain else _IN_JSON, text) if names else ():
        name = names.get(found[1])
        if name is not None:
            parts.append((text[at : found.start()], name, UNKNOWN if found[2] is None else found[2]))
            at = found.end()
    return Template(tuple(parts), text[at:], escape)
