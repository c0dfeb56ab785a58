"""Make ``docs/page.png``: the page in front of a real collector, with what two real applications sent to it.

``python -m scripts.page_screenshot [PATH]``; needs Chromium.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from examples.demo import send, stored
from examples.processes import Stack

from .browser import Tab, browser

PATH = Path(__file__).parents[1] / "docs" / "page.png"
MOST_BYTES = 200_000


def photograph(tab: Tab, url: str, path: Path) -> None:
    """Open the newest order beside the list and write the picture."""
    tab.size(1360, 820)
    tab.scheme("light")
    tab.open(f"{url}/")
    tab.wait("[...document.querySelectorAll('#rows tr')].some(row => /POST.*orders/.test(row.textContent))")
    tab.evaluate(
        "[...document.querySelectorAll('#rows tr')].find(row => /POST.*orders.*201/.test(row.textContent)).click()"
    )
    tab.wait("document.querySelectorAll('#detail .side').length === 2")
    time.sleep(2)
    tab.picture(path)


def main() -> int:
    """Run the applications, send the demo's requests, take the picture."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PATH
    path.parent.mkdir(exist_ok=True)
    with Stack(0) as stack, browser() as tab:
        stored(stack.url, send(stack))
        photograph(tab, stack.url, path)
    size = path.stat().st_size
    print(f"{path}: {size} bytes")
    return 0 if size < MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
