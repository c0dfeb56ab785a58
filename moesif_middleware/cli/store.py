"""``moesif-middleware store copy SRC DST``: move everything that a collector keeps from one store to another.

Both are URLs as ``collector --store`` takes them. A copy that was broken off goes on where it ended when it is started
again; one that is done twice stores nothing twice. Exit status: 0 everything is there, 1 events arrived in the source
meanwhile (run it again), 2 it was asked for wrongly or a store is not available, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from ..collector.stores import Store
from ..collector.stores.copying import Copied, copy
from ..collector.stores.opening import open_store
from ..errors import ConfigurationError
from .progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    copying = actions.add_parser("copy", help="copy all applications, events and documents; can be resumed")
    copying.add_argument("source", metavar="SRC", help="sqlite:///PATH or clickhouse://HOST/DATABASE")
    copying.add_argument("target", metavar="DST", help="the same; it may hold other events already")
    copying.add_argument("--quiet", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> int:
    """Copy and print what was done. Raises ConfigurationError and StoreUnavailable."""
    if arguments.source == arguments.target:
        raise ConfigurationError("DST", "is the same store as SRC")
    with (
        closing(open_store(arguments.source, must_exist=True)) as source,
        closing(open_store(arguments.target)) as target,
    ):
        done = _copied(source, target, arguments.source, quiet=arguments.quiet)
    for each in done:
        late = f"; {each.missed:,} arrived meanwhile: run it again" if each.missed else ""
        print(f"{each.app}: {each.events:,} events ({each.there:,} were there), {each.documents:,} documents{late}")
    if not done:
        print("there is nothing to copy")
    return 1 if any(each.missed for each in done) else 0


def _copied(source: Store, target: Store, name: str, *, quiet: bool) -> list[Copied]:
    total = sum(source.kept(app).events for app in source.apps())
    progress = Progress(total, "events", quiet=quiet)
    done: dict[str, Copied] = {}
    try:
        for copied in copy(source, target, name):
            done[copied.app] = copied
            progress.show(sum(each.events for each in done.values()))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        raise
    progress.end(sum(each.events for each in done.values()))
    return list(done.values())
