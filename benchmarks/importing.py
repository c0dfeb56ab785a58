"""What importing a contestant takes: CPU of a fresh process, over what the framework around it has imported anyway."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from .contestants import Contestant
from .plan import ROOT, Failed, Figures, Length, Measure, Subject, last_line

FRAMEWORKS = {"ASGI": "asyncio", "WSGI": "wsgiref.headers", "Django": "django.http, django.core.handlers.wsgi"}
"""What an application of a kind has imported anyway."""


def cases(contestant: type[Contestant], length: Length) -> Iterable[tuple[str, str]]:  # noqa: ARG001  # a measure's
    """Return the kinds that have a statement, and this package's goal too: over an application that has httpx."""
    found = [(kind, "") for kind in contestant.imports]
    return [*found, ("ASGI", "over httpx")] if contestant.package == "moesif-middleware" else found


def run(subject: Subject, length: Length) -> Figures:
    """Return the least of some processes, in milliseconds."""
    before = FRAMEWORKS[subject.kind] + (", httpx" if subject.case else "")
    statement = subject.contestant.imports[subject.kind]
    return {"cpu": min(once(subject.python, before, statement) for _ in range(3 if length.quick else 11))}


def once(python: str, before: str, statement: str) -> float:
    """Return what a statement takes in a new process, in milliseconds of CPU. Raises Failed."""
    code = f"import time, {before}; begun = time.process_time(); {statement}; print(time.process_time() - begun)"
    # With bytecode, as everywhere but in a first start.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise Failed(f"{statement}: {last_line(done.stderr)}")
    return float(done.stdout) * 1000


MEASURE = Measure("import", cases, run)
