"""``moesif-middleware migrate PATH``: show, as a diff, the settings of the vendor's packages as settings of this one.

Nothing is written. Imports, the name in MIDDLEWARE and the keys of settings dictionaries are rewritten; where a hook's
arguments are others now, or a value cannot be carried over as it stands, a comment says so. Old keys elsewhere, as in
``settings["LOG_BODY"] = True``, are named with their lines, to be changed by hand.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..vendor_keys import HOOKS, KEYS, advice

_MODULES = {"moesifasgi": "moesif_middleware.asgi", "moesifwsgi": "moesif_middleware.wsgi"}
_DJANGO_OLD = ("moesifdjango.middleware.moesif_middleware", "moesifdjango.middleware.MoesifMiddleware")
_SIGNS = (b"moesifasgi", b"moesifwsgi", b"moesifdjango", b"MOESIF_MIDDLEWARE")
_DJANGO_NEW = "moesif_middleware.django.MoesifMiddleware"

Edit = tuple[int, int, bytes]
"""Start and end in the bytes of the file, and what stands there instead."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("path", metavar="PATH", help="a Python file, or a folder of them")


def run(arguments: argparse.Namespace) -> int:
    """Print the diffs; return 1 when there is nothing to migrate. Raises ConfigurationError for a path that is none."""
    path = Path(arguments.path)
    if not path.exists():
        raise ConfigurationError("PATH", f"there is no {path}")
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    shown = 0
    for file in files:
        try:
            source = file.read_bytes()
            migrated = migrate(source)
        except (OSError, SyntaxError, ValueError) as error:
            print(f"{file}: left out, it cannot be read as Python: {error}", file=sys.stderr)
            continue
        if migrated != source:
            sys.stdout.writelines(_diff(file, source, migrated))
            shown += 1
            for line, said in leftovers(migrated):
                print(f"{file}: by hand, about line {line} of the new file: {said}", file=sys.stderr)
    if not shown:
        print("nothing to migrate")
    return 0 if shown else 1


def _diff(file: Path, old: bytes, new: bytes) -> Iterator[str]:
    before, after = (text.decode("utf-8", "replace").splitlines(keepends=True) for text in (old, new))
    for line in difflib.unified_diff(before, after, str(file), str(file)):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def migrate(source: bytes) -> bytes:
    """Return a module's source with the vendor's names as those of this package. Raises SyntaxError."""
    tree = ast.parse(source)
    if not any(name in source for name in _SIGNS):
        return source
    edits = list(_Edits(source).of(tree))
    for start, end, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[end:]
    return source


def leftovers(source: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines of a migrated module that still have an old key, each with what it is called now."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            found: list[Any] = [node.slice.value]
        elif isinstance(node, ast.Call) and _name(node.func) in ("dict", "update"):
            found = [keyword.arg for keyword in node.keywords]
        elif isinstance(node, ast.Dict):
            found = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        else:
            continue
        for name in found:
            if name in KEYS and KEYS[name].new != name.lower():
                yield node.lineno, advice(name) or ""


class _Edits:
    """Finds what to replace in one module."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def of(self, tree: ast.AST) -> Iterator[Edit]:
        """Yield the edits, in no order."""
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _MODULES:
                yield from self._from(node)
            elif isinstance(node, ast.Import) and any(name.name in _MODULES for name in node.names):
                yield self._import(node)
            elif isinstance(node, ast.Constant) and node.value in _DJANGO_OLD:
                yield (*self._span(node), f'"{_DJANGO_NEW}"'.encode())
            elif isinstance(node, ast.Dict):
                yield from self._settings(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        last, column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._start(node), self._lines[last - 1] + column

    def _start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _from(self, node: ast.ImportFrom) -> Iterator[Edit]:
        module = _MODULES[(node.module or "").partition(".")[0]]
        yield self._imports(node, [f"from {module} import {', '.join(map(_as, node.names))}"])

    def _import(self, node: ast.Import) -> Edit:
        """Let the module keep the name that the file has for it."""
        others = [_as(name) for name in node.names if name.name not in _MODULES]
        lines = [f"import {', '.join(others)}"] if others else []
        lines += [
            f"import {_MODULES[name.name]} as {name.asname or name.name}"
            for name in node.names
            if name.name in _MODULES
        ]
        return self._imports(node, lines)

    def _imports(self, node: ast.stmt, lines: list[str]) -> Edit:
        """Put imports in the place of one, in its block."""
        start, end = self._span(node)
        before = self._source[self._source.rfind(b"\n", 0, start) + 1 : start]
        between = "; " if before.strip() else "\n" + before.decode()
        return start, end, between.join(["from moesif_middleware import Moesif", *lines]).encode()

    def _call(self, node: ast.Call) -> Iterator[Edit]:
        """Turn what holds the settings into a handle: ``settings=X`` and the second argument."""
        named = {_name(node.func), *(_name(argument) for argument in node.args[:1])}
        if "MoesifMiddleware" not in named:
            return
        for keyword in node.keywords:
            if keyword.arg == "settings":
                start = self._start(keyword)
                yield start, start + len("settings"), b"moesif"
                yield from self._handle(keyword.value)
        if _name(node.func) == "MoesifMiddleware" and len(node.args) == 2:
            yield from self._handle(node.args[1])

    def _handle(self, settings: ast.expr) -> Iterator[Edit]:
        start, end = self._span(settings)
        yield start, start, b"Moesif("
        yield end, end, b")"

    def _settings(self, node: ast.Dict) -> Iterator[Edit]:
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        if "APPLICATION_ID" not in keys:
            return
        masking: dict[str, list[str]] = {}
        for key, name, value in zip(node.keys, keys, node.values, strict=True):
            if key is None or not isinstance(name, str) or name not in KEYS:
                continue
            new = KEYS[name].new
            if new is not None and new.startswith("masking."):
                masking.setdefault(new.partition(".")[2], []).append(f"*{self._text(value)}")
                yield self._gone(key, value, None)
            elif new is None or "OUTGOING" in name:
                yield self._gone(key, value, f"{new or name}: {KEYS[name].note}")
            else:
                yield from self._renamed(key, name, value, new)
        if masking:
            inside = ", ".join(f'"{name}": [{", ".join(parts)}]' for name, parts in masking.items())
            start = self._span(node)[0] + 1
            yield start, start, f' "MASKING": {{{inside}}},'.encode()

    def _renamed(self, key: ast.expr, name: str, value: ast.expr, new: str) -> Iterator[Edit]:
        yield (*self._span(key), f'"{new.upper()}"'.encode())
        start, end = self._span(value)
        if KEYS[name].new == "transaction_header":
            yield start, end, f"not {self._text(value)}".encode()
        if name in HOOKS:
            # The rest of the line may be code, so that a comment has a line of its own, before the key.
            begin = self._span(key)[0]
            line = self._source.rfind(b"\n", 0, begin) + 1
            indent = self._source[line:begin]
            if not indent.strip():
                yield line, line, indent + f"# {KEYS[name].note}\n".encode()

    def _gone(self, key: ast.expr, value: ast.expr, note: str | None) -> Edit:
        """Take an entry out with its comma; a note stands in its place when the entry has lines of its own."""
        start, end = self._span(key)[0], self._span(value)[1]
        rest = self._source[end:]
        if rest.lstrip().startswith(b","):
            end += rest.index(b",") + 1
        line = self._source.rfind(b"\n", 0, start) + 1
        following = self._source.find(b"\n", end)
        alone = not self._source[line:start].strip() and following >= 0 and not self._source[end:following].strip()
        if not alone:
            return start, end, b""
        indent = self._source[line:start]
        return line, following + 1, b"" if note is None else indent + f"# {note}\n".encode()


def _as(name: ast.alias) -> str:
    return f"{name.name} as {name.asname}" if name.asname else name.name


def _name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
