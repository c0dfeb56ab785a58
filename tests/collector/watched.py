"""Run the command, writing the path of each file it opens: ``python -m tests.collector.watched FILE OPTION...``.

A process of its own, because an audit hook cannot be taken away again, and while there is one, CPython 3.11 may end a
thread that starts under a tracer such as coverage (https://github.com/python/cpython/issues/98257).
"""

from __future__ import annotations

import os
import sys
from typing import Any

from moesif_middleware.cli import main

WATCHED = ("open", "os.listdir", "os.scandir", "os.remove", "os.mkdir", "os.rename")


def watch(path: str) -> None:
    """From now on write what is opened into the file of this name, a line each."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(kind: str, arguments: tuple[Any, ...]) -> None:
        if kind in WATCHED:
            os.write(descriptor, "".join(f"{each!r}\n" for each in arguments).encode())

    sys.addaudithook(hook)


if __name__ == "__main__":
    watch(sys.argv.pop(1))
    main()
