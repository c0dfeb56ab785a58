"""The page about the collector says what it does."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moesif_middleware.cli import collector
from scripts import management_doc

from .conftest import KEY, Running

PAGE = (Path(__file__).parents[2] / "docs" / "collector.md").read_text()


def test_every_option_is_described_and_no_other() -> None:
    """The table of options and the command agree."""
    parser = argparse.ArgumentParser(add_help=False)
    collector.add_arguments(parser)
    options = {name for action in parser._actions for name in action.option_strings}
    table = PAGE.partition("## Options")[2].partition("## Calls")[0]
    described = {
        name for line in table.splitlines() if line.startswith("| `") for name in re.findall(r"--[a-z-]+", line)
    }
    assert described == options


def test_the_list_of_operations_is_the_table(running: Running) -> None:
    """Made by the script, and the examples above it run."""
    page = management_doc.TARGET.read_text()
    assert page == management_doc.render()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        code = block.replace("http://127.0.0.1:9500", running.url).replace("YOUR_MANAGEMENT_KEY", KEY)
        exec(compile(code, "management.md", "exec"), {})
    (rule,) = running.management.get("/v1/~/governance/rules").json()
    assert rule["response"]["status"] == 429


def test_the_config_example_is_taken(serve: Callable[..., Any]) -> None:
    """What the page sends is answered with what is served."""
    body = re.search(r"-d '(.*?)'\n", PAGE, re.DOTALL)
    assert body is not None
    with serve() as running:
        answer = running.management.patch("/v1/config", content=body[1])
        assert answer.status_code == 200
        assert answer.json()["user_rules"]["user-1"][0]["values"] == {"0": "Free", "1": "1000"}
