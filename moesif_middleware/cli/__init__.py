"""``moesif-middleware ...``, the same as ``python -m moesif_middleware ...``: one module per command.

A command's module has ``add_arguments(parser)`` and ``run(arguments) -> exit status``. It is imported only
when it is asked for, so that no command needs another one's extras.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from .._version import VERSION
from ..errors import MoesifError

COMMANDS = {
    "collector": "run a collector on this machine",
    "rules": "explain what rules and config decide for a request",
    "store": "copy everything that a collector keeps to another store",
    "mask": "show what the masking rules take out of a document",
    "replay": "send the events of a spool or of a file",
    "migrate": "show the settings of the vendor's packages as settings of this one",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 it failed, 2 it was asked for wrongly."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="moesif-middleware", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"moesif-middleware {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == chosen:
            module = importlib.import_module(f".{name}", __name__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parsed) or 0)
    except MoesifError as error:
        print(f"moesif-middleware {parsed.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
