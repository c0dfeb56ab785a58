"""Compiled sets of patterns that are looked up on every request: paths to skip, media types and statuses to keep."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ConfigurationError


def compile_paths(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that says whether a path matches: whole, or by its start (``/x*``) or its end (``*.x``)."""
    exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
    starts = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*") and pattern.count("*") == 1)
    ends = tuple(pattern[1:] for pattern in patterns if pattern.startswith("*") and pattern.count("*") == 1)
    for pattern in patterns:
        if "*" in pattern and (pattern.count("*") > 1 or pattern[0] != "*" != pattern[-1]):
            raise ConfigurationError("skip_paths", f"{pattern!r} may have one * at its start or at its end")

    def matches(path: str) -> bool:
        return path in exact or path.startswith(starts) or path.endswith(ends)

    return matches


def compile_statuses(patterns: tuple[str, ...]) -> Callable[[int], bool] | None:
    """Return a function that says whether a status matches ``201`` or ``5xx``; None when everything does."""
    if not patterns:
        return None
    found: set[int] = set()
    for pattern in patterns:
        text = pattern.lower()
        if len(text) != 3 or not text[0].isdigit() or not (text[1:] == "xx" or text.isdigit()):
            raise ConfigurationError("capture_statuses", f"{pattern!r} must be a status such as 404, or 4xx")
        found.update(range(int(text[0]) * 100, int(text[0]) * 100 + 100) if text[1:] == "xx" else [int(text)])
    return found.__contains__


def compile_media_types(patterns: tuple[str, ...]) -> Callable[[str], bool] | None:
    """Return a function that says whether a Content-Type matches ``text/*`` or ``application/json``; None: all."""
    if not patterns:
        return None
    lowered = tuple(pattern.strip().lower() for pattern in patterns)
    for pattern in lowered:
        if pattern.count("/") != 1:
            raise ConfigurationError("capture_content_types", f"{pattern!r} must be a media type such as text/*")
    exact = frozenset(pattern for pattern in lowered if not pattern.endswith("/*"))
    starts = tuple(pattern[:-1] for pattern in lowered if pattern.endswith("/*"))

    def matches(content_type: str) -> bool:
        media = content_type.partition(";")[0].strip().lower()
        return media in exact or media.startswith(starts)

    return matches
