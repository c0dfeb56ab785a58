"""Writes the list of operations at the end of docs/management.md; ``--check`` only says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from moesif_middleware.collector.openapi import plain_path
from moesif_middleware.collector.operations import Operation
from moesif_middleware.collector.routes.catalog import ELSEWHERE, PROVIDER
from moesif_middleware.collector.table import MANAGEMENT

TARGET = Path(__file__).parent.parent / "docs" / "management.md"
MARK = "<!-- Below: made from the table of operations by `python -m scripts.management_doc` -->\n"


def plain(path: str) -> str:
    """Return a path as clients write it."""
    return plain_path(path).replace("{org}", "~")


def row(operation: Operation) -> str:
    """Return an operation's row of the table."""
    paths = " or ".join(f"`{plain(path)}`" for path in (operation.path, *operation.aliases))
    scopes = ", ".join(f"`{scope}`" for scope in operation.scopes)
    also = ", or a workspace's access token" if operation.public else ""
    return f"| {operation.verb} {paths} | {operation.summary} | {scopes}{also} | {operation.status} |"


def render() -> str:
    """Return the page with its list made anew."""
    prose = TARGET.read_text().partition(MARK)[0]
    served = [each for each in MANAGEMENT if each.why_not is None]
    lines = [
        MARK,
        f"## The {len(served)} operations that are served",
        "",
        "| call | what it does | scopes | status |",
        "|---|---|---|---|",
        *map(row, served),
        "",
        "## Not served",
        "",
        *(
            f"- {each.verb} `{each.path.replace('{org}', '~')}`: 501, {each.why_not}."
            for each in MANAGEMENT
            if each.why_not
        ),
        f"- Any call under `/~/billing/catalog/` with a `provider` other than `{PROVIDER}`: 501, {ELSEWHERE}.",
    ]
    return prose + "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or with ``--check`` return 1 when it differs from what would be written."""
    page = render()
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text() != page)
    TARGET.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
