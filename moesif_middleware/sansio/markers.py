"""What stands in place of a secret, and the report of what was taken out."""

from __future__ import annotations

from typing import NamedTuple

MARKER = "[REDACTED:"
"""What a masked value begins with: ``[REDACTED:rule]`` tells neither length nor part of it."""


class Masked(NamedTuple):
    """One thing that was taken out: where it stood and by which rule."""

    path: str
    rule: str


Report = list[Masked]


def marker(rule: str) -> str:
    """Return what stands in place of a secret that a rule found."""
    return f"{MARKER}{rule}]"


def note(report: Report | None, path: str, *rules: str) -> None:
    """Add to a report, if there is one, what the rules took out at a path."""
    if report is not None:
        report += (Masked(path, rule) for rule in rules)
