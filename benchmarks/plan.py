"""What is asked of a measure: whom to measure, in which case, how long; and how to do it in another interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contestants import Contestant

ROOT = Path(__file__).parent.parent


class Failed(Exception):
    """A measurement came to nothing; the message is the end of what its process wrote."""


@dataclass(frozen=True, slots=True)
class Length:
    """How much is measured: rounds of paired differences, requests of a memory run, seconds of load on a server."""

    rounds: int = 31
    cell: float = 6.0
    """Seconds after which no further round is begun."""
    requests: int = 50_000
    seconds: float = 5.0
    stream: int = 200 * 2**20
    """Bytes that a stream has."""
    quick: bool = False


QUICK = Length(rounds=3, requests=1_500, seconds=1.0, stream=4 * 2**20, quick=True)


@dataclass(frozen=True, slots=True)
class Subject:
    """One contestant in one case, with the interpreter that has it. ``variant`` is a flavour such as uvloop."""

    contestant: type[Contestant]
    kind: str
    case: str
    python: str = sys.executable
    variant: str = ""


Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is measured: for which kinds and cases of a contestant, and how."""

    name: str
    cases: Callable[[type[Contestant], Length], Iterable[tuple[str, str]]]
    run: Callable[[Subject, Length], Figures]


def elsewhere(python: str, module: str, *arguments: object, seconds: float = 600.0) -> Figures:
    """Run ``python -m module`` in the project's directory; return the JSON of its last line.

    Raises Failed when it fails, or takes longer than ``seconds``.
    """
    command = [python, "-m", module, *map(str, arguments)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"it was not through after {seconds:.0f} seconds") from None
    if done.returncode:
        raise Failed(last_line(done.stderr))
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
