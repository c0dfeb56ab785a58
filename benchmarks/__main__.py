"""``python -m benchmarks run`` measures all contestants; ``report`` makes the tables and plots of what was measured."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from .contestants import CONTESTANTS
from .environments import environment
from .plan import QUICK, ROOT, Length
from .report import OUT, write
from .results import Results
from .runner import FREE_THREADED, PLAIN, UVLOOP, Choice, Runner

ENVIRONMENTS = ROOT / ".benchmarks"
WHOLE = Length()


def main() -> None:
    """Run, or report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure, add to the results, and report")
    run.add_argument("--only", action="append", default=[], help="rows with this in their label, such as 'served ASGI'")
    run.add_argument(
        "--contestant", action="append", default=[], choices=CONTESTANTS, help="one of them, again for more"
    )
    run.add_argument("--quick", action="store_true", help="a little of everything, to see that it runs")
    run.add_argument("--rounds", type=int, help=f"of paired differences ({WHOLE.rounds})")
    run.add_argument("--requests", type=int, help=f"of a memory run, at 1 500 a second ({WHOLE.requests})")
    run.add_argument("--seconds", type=float, help=f"of load on a server ({WHOLE.seconds:g})")
    run.add_argument("--uvloop", action="store_true", help="serve ASGI with uvloop, instead of asyncio")
    run.add_argument(
        "--free-threaded", action="store_true", help="with a Python without a global lock, if there is one"
    )
    run.add_argument("--here", action="store_true", help="with this Python and those contestants that it has")
    prepare = commands.add_parser("prepare", help="make the environments, and no more")
    prepare.add_argument("--contestant", action="append", default=[], choices=CONTESTANTS)
    for command in (run, prepare):
        command.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where they are kept")
    report = commands.add_parser("report", help="write the tables and plots again")
    for command in (run, report):
        command.add_argument("--out", type=Path, default=OUT, help="the directory of the results")
    options = parser.parse_args()
    if options.command == "prepare":
        for name in options.contestant or CONTESTANTS:
            found = environment(CONTESTANTS[name], options.environments)
            print(
                f"{name}: Python {found.version}, {found.versions.get(CONTESTANTS[name].package, 'nothing of its own')}"
            )
        return
    results = Runner(choice(options), length(options), options.out).run() if options.command == "run" else None
    write(results or Results.read(options.out), options.out)


def choice(options: argparse.Namespace) -> Choice:
    """Return what was chosen."""
    variants = [name for name, wanted in ((UVLOOP, options.uvloop), (FREE_THREADED, options.free_threaded)) if wanted]
    where = None if options.here else options.environments
    return Choice(options.only, options.contestant, variants or [PLAIN], where)


def length(options: argparse.Namespace) -> Length:
    """Return how much is measured."""
    given = {name: getattr(options, name) for name in ("rounds", "requests", "seconds")}
    whole = QUICK if options.quick else WHOLE
    return replace(whole, **{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    main()
