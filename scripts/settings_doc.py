"""Writes docs/settings.md from the table of settings; ``--check`` only says whether it is up to date."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from moesif_middleware.settings import (
    DEFAULT_SKIP_PATHS,
    ENVIRONMENT_PREFIX,
    Choice,
    Flag,
    Hooks,
    Masking,
    Nested,
    Networks,
    Number,
    Settings,
    Texts,
    Url,
)

TARGET = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD = """# Settings

Made from the table in `moesif_middleware/settings.py` by `python -m scripts.settings_doc`.

A setting is a keyword of `Settings(...)`, `Moesif(...)` and of a middleware, the upper-case key of a framework's
mapping, and a variable of the environment with `MOESIF_` in front: `body_bytes`, `BODY_BYTES`, `MOESIF_BODY_BYTES`.
Keywords win over the environment. Unknown keys are errors that suggest the near miss. A bad setting is said once in the
log and the application runs without the middleware; with `strict=True` it raises `ConfigurationError`.

| setting | default | values | meaning |
|---|---|---|---|
"""


def values(check: object) -> str:
    """Say in words what a setting takes."""
    if isinstance(check, Flag):
        return "True, False"
    if isinstance(check, Number):
        return f"{check.low:g} to {check.high:g} {check.unit}" if check.high < 10**6 else f"{check.unit}"
    if isinstance(check, Choice):
        return ", ".join(check.words)
    if isinstance(check, Nested):
        return f"{check.kind.__name__}(...) or a mapping"
    named = {Texts: "strings", Networks: "addresses and networks", Url: "a URL"}
    return next((words for kind, words in named.items() if isinstance(check, kind)), "text")


def default(value: object) -> str:
    """Write a default as code."""
    if value == DEFAULT_SKIP_PATHS:
        return "below"
    return "" if isinstance(value, (Hooks, Masking)) or value in ("", None) else f"`{value!r}`"


def render() -> str:
    """Return the page."""
    rows = [
        f"| `{item.name}` | {default(item.default)} | {values(item.metadata['check'])} | {item.metadata['doc']} |"
        for item in fields(Settings)
    ]
    paths = "\n".join(f'    "{path}",' for path in DEFAULT_SKIP_PATHS)
    return (
        f"{HEAD}{chr(10).join(rows)}\n\n## Paths that make no event by default\n\n```python\nDEFAULT_SKIP_PATHS = (\n"
        f'{paths}\n)\n```\n\nExtend it with `skip_paths=(*DEFAULT_SKIP_PATHS, "/metrics")`, replace it with any other '
        "tuple, or switch it off with `()`.\n"
        f"In the environment: `{ENVIRONMENT_PREFIX}SKIP_PATHS=/metrics,/internal/*`.\n"
    )


def main() -> int:
    """Write the page, or compare it."""
    page = render()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == page:
            return 0
        print("docs/settings.md is not up to date: run python -m scripts.settings_doc")
        return 1
    TARGET.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
