"""Virtual environments, one for each contestant, so that none meets another's dependencies.

They are kept in a directory, each under the contestant's name and a digest of what is installed in it.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .contestants import Contestant

COMMON = ("django>=5.2,<5.3", "uvicorn>=0.35", "gunicorn>=23", "uvloop>=0.21; platform_system != 'Windows'")
"""What all environments have: the frameworks and servers under which every contestant is measured."""
_COMPLETE = "complete"
_INSPECT = """
import json, platform, re, sysconfig
from importlib.metadata import distributions
version = platform.python_version() + (" free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")
names = {re.sub("[^a-z0-9]+", "-", each.metadata["Name"].lower()): each.version for each in distributions()}
print(json.dumps({"version": version, "versions": names}))
"""


class NotInstalled(Exception):
    """pip did not install what a contestant needs; the message ends with what it wrote."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter that has what a contestant needs."""

    python: str
    version: str
    """Of Python, such as ``3.13.1`` or ``3.13.1 free-threaded``."""
    versions: dict[str, str]
    """Of the distributions that it has, by their normalised names."""


def environment(contestant: type[Contestant], directory: Path, python: str = sys.executable) -> Environment:
    """Return the contestant's environment in ``directory``, made now if it is not there. Raises NotInstalled."""
    wanted = (*COMMON, *contestant.requirements)
    digest = hashlib.sha256("\n".join((python, *wanted)).encode()).hexdigest()[:8]
    root = directory.resolve() / f"{normalised(contestant.name)}-{digest}"
    own = str(root / "bin" / "python")
    if not (root / _COMPLETE).exists():
        _run([python, "-m", "venv", "--clear", str(root)])
        _run([own, "-m", "pip", "install", "--quiet", *wanted])
        # The last thing that is written: an environment that was interrupted is made anew.
        (root / _COMPLETE).touch()
    return inspected(own)


def at_hand(contestant: type[Contestant], python: str = sys.executable) -> Environment | None:
    """Return the environment of an interpreter when the contestant is installed there, else None."""
    found = inspected(python)
    return found if not contestant.package or contestant.package in found.versions else None


def inspected(python: str) -> Environment:
    """Return what an interpreter is and has."""
    return Environment(python, **json.loads(_run([python, "-c", _INSPECT])))


def normalised(name: str) -> str:
    """Return a name in small letters and hyphens, as distributions are compared."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"{Path(command[0]).name} {' '.join(command[1:4])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
