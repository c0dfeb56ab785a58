"""The README and the pages under docs run, link to what exists, and say what the code says."""

from __future__ import annotations

import importlib
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moesif_middleware import Masking, Settings
from moesif_middleware.cli import COMMANDS
from scripts import settings_doc
from tests.frameworks import shops

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "frameworks").glob("*.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")


def names() -> dict[str, Any]:
    """Return what the pages' blocks take for granted: an application of each kind and a request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Answer nothing."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        return []

    request = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    return {"__name__": __name__, "app": app, "application": application, "request": request}


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Take away again the handlers with which an application of a page, Litestar's for one, logs."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


# The examples of the page on management need a collector that runs: tests/collector/test_docs.py runs them.
# The page on migration shows the old keys, which say so.
@pytest.mark.filterwarnings("ignore:.*; see docs/migration.md:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated inferred style:DeprecationWarning")  # by Litestar
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name != "management.md"],
    ids=lambda page: f"{page.parent.name}/{page.name}",
)
def test_the_python_of_a_page_runs(page: Path, logging_as_before: None) -> None:
    """Block after block, as a reader would paste them."""
    if page.stem == "pyramid":
        shops.import_quietly("pyramid.config")
    if page.stem == "django":
        importlib.import_module("tests.frameworks.test_django")  # which gives Django its settings
    known = names()
    for number, block in enumerate(BLOCK.findall(page.read_text())):
        exec(compile(block, f"{page.name} block {number}", "exec"), known)


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "docs" / "api").glob("*.md"))], ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Files that are named are there."""
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_the_settings_page_is_made_from_the_table() -> None:
    """Nobody types a default twice."""
    assert settings_doc.TARGET.read_text() == settings_doc.render()


def test_every_field_of_masking_is_described() -> None:
    """The table of the masking page is whole."""
    page = (ROOT / "docs" / "masking.md").read_text()
    assert [name for name in Masking.__dataclass_fields__ if f"`{name}`" not in page] == []


def test_the_readmes_two_commands_are_toxs() -> None:
    """They name environments that exist."""
    commands = re.findall(r"python -m tox -e (\w+)", (ROOT / "README.md").read_text())
    tox = (ROOT / "tox.ini").read_text()
    assert set(commands) == {"demo", "py"}
    assert all(f"[testenv:{name}]" in tox for name in commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_takes(command: str) -> None:
    """``moesif-middleware COMMAND --help`` works for each of the commands that --help lists."""
    arguments = [sys.executable, "-m", "moesif_middleware", command, "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_every_setting_has_a_place_on_the_page() -> None:
    """All of them, by name."""
    page = settings_doc.TARGET.read_text()
    assert [name for name in Settings.__dataclass_fields__ if f"| `{name}` |" not in page] == []
