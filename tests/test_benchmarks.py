"""The benchmarks run. What they measure is for people to read: nothing here looks at a number of microseconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent


def table(*arguments: str) -> list[str]:
    """Return the rows of a table that a benchmark prints."""
    command = [sys.executable, "-m", *arguments, "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    return [line for line in done.stdout.splitlines() if line.startswith("|")][2:]


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["ASGI a captures", "Django a moesif"])
def test_a_contestant_delivers_what_it_was_measured_with(name: str) -> None:
    """One that loses events is cheap and out of the question."""
    (row,) = table("benchmarks.overhead", "--only", name)
    delivered, _, sent = row.split("|")[7].strip().partition(" of ")
    assert delivered == sent


@pytest.mark.heavy
def test_growth_is_drawn(tmp_path: Path) -> None:
    """One chart with two lines for each axis."""
    picture = tmp_path / "growth.svg"
    assert len(table("benchmarks.growth", "--only", "concurrency", "--out", str(picture))) == 3
    lines = ElementTree.parse(picture).getroot().iter("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.get("points", "").split()) for line in lines] == [3, 3]
