"""Write the synchronous clients from the asynchronous ones: ``api/_async`` to ``api/_sync``.

``python -m scripts.unasync`` writes the files, ``--check`` fails when one differs from what would be written.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "moesif_middleware" / "api" / "_async"
TARGET = ROOT / "moesif_middleware" / "api" / "_sync"

# In this order: the first that fits wins.
RULES = [
    (r"import asyncio\n", ""),
    (r"asyncio\.sleep", "time.sleep"),
    (r"httpx\.AsyncClient", "httpx.Client"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"``async with``", "``with``"),
    (r"\bawait ", ""),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\baclose\b", "close"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\b_async\b", "_sync"),
    (r"The clients as written, for asyncio\. .*?\"\"\"", 'The clients for code that waits."""'),
]


def translate(text: str, name: str) -> str:
    """Return the synchronous text of one asynchronous module."""
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    note = f"# Generated from _async/{name} by python -m scripts.unasync; do not edit.\n"
    return formatted(note + text, TARGET / name)


def formatted(text: str, path: Path) -> str:
    """Return Python source with its imports in order, as ``ruff format`` writes it."""
    for command in (["check", "--select", "I,F401,UP028", "--fix-only", "--unsafe-fixes", "--quiet"], ["format"]):
        run = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(run, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> int:
    """Write the files or, with ``--check``, say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    texts = {source.name: translate(source.read_text(), source.name) for source in sorted(SOURCE.glob("*.py"))}
    if check:
        found = {path.name: path.read_text() for path in TARGET.glob("*.py")}
        stale = sorted(name for name in texts.keys() | found.keys() if texts.get(name) != found.get(name))
        print(f"stale, run python -m scripts.unasync: {', '.join(stale)}" if stale else "_sync is up to date")
        return 1 if stale else 0
    TARGET.mkdir(exist_ok=True)
    for name, text in texts.items():
        (TARGET / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
