"""``python -m scripts.upstream_tests [SUITE...]``: exits with 1 when a test that passes bare fails with the middleware.

A suite is a name of the table, or ``name==version`` for another release of it.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from .comparison import HEAD, Comparison, newly_failing
from .suites import SUITES, Suite
from .workplace import Workplace


def suite_of(text: str) -> Suite:
    """Return the suite that ``name`` or ``name==version`` stands for."""
    name, _, version = text.partition("==")
    if name not in SUITES:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(SUITES)}")
    return replace(SUITES[name], version=version) if version else SUITES[name]


def compare(suite: Suite, work: Path) -> Comparison:
    """Run a suite bare and with the middleware."""
    place = Workplace(work, suite)
    place.prepare()
    bare = place.bare()
    wrapped, captured = place.wrapped()
    again = place.again(tuple(newly_failing(bare, wrapped)))
    control = place.control(tuple(test for test in again if test in suite.exceptions))
    return Comparison.of(
        suite.name, suite.version, bare=bare, wrapped=wrapped, captured=captured, again=again, control=control
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the suites and print the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.upstream_tests", description=__doc__)
    parser.add_argument("suites", nargs="*", type=suite_of, metavar="SUITE", help=f"of {', '.join(SUITES)}")
    parser.add_argument("--work", type=Path, required=True, help="where sdists, environments and results are kept")
    parser.add_argument("--jobs", type=int, default=1, help="suites at a time")
    options = parser.parse_args(arguments)
    work = options.work.resolve()
    with ThreadPoolExecutor(options.jobs) as pool:
        found = list(pool.map(lambda suite: compare(suite, work), options.suites or SUITES.values()))
    print(HEAD, *(comparison.row() for comparison in found), sep="\n")
    explained = {test: reason for suite in SUITES.values() for test, reason in suite.exceptions.items()}
    print(*(f"{test}: {explained[test]}" for comparison in found for test in comparison.excepted), sep="\n")
    problems = [problem for comparison in found for problem in comparison.problems()]
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
