"""``moesif-middleware collector``: run a collector on this machine until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import os
import re
import socket
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from ..collector.faults import Fault
from ..collector.retention import Retention
from ..collector.settings import CollectorSettings, ManagementKey
from ..errors import ConfigurationError

SWITCH_SECONDS = 0.0005
"""How long one thread may keep the interpreter: at the usual 5 ms the writing thread waits more than it writes."""

YOUNG_OBJECTS = 50_000
"""Containers made, less those freed, before the garbage collector looks: 500 events parse to 20 000, no cycle."""

_SCOPED_KEY = re.compile(r"(.*?)=([a-z]+:[a-z_]+(?:,[a-z]+:[a-z_]+)*)")
"""A key and its scopes; any other ``=`` belongs to the key."""

VARIABLES = {
    "store": "COLLECTOR_STORE",
    "app_id": "COLLECTOR_APP_ID",
    "management_key": "COLLECTOR_MANAGEMENT_KEY",
    "token": "COLLECTOR_TOKEN",
}
"""Options that hold secrets -> variables of the environment, since every user of a machine may read command lines."""

_UNITS = {"ms": 0.001, "s": 1.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; any but a loopback one needs --token")
    add("--port", type=int, default=9500, help="port to listen on; 0 takes a free one (default %(default)s)")
    add(
        "--store",
        help="sqlite:///PATH or clickhouse://HOST,HOST/DATABASE?cluster=NAME (default: a temporary file)",
    )
    add("--app-id", nargs="+", action="extend", help="application ids to accept (default: a new one, printed)")
    add("--management-key", nargs="+", action="extend", default=[], metavar="KEY[=SCOPE,...]", help="bearer keys")
    add("--token", help="what the page asks for, at least 16 characters")
    add("--allowed-host", nargs="+", action="extend", default=[], help="names under which it may be called")
    add("--keep-days", type=float, help="delete events that are older")
    add("--keep-events", type=int, help="delete the oldest events of an application over this number")
    add("--keep-bytes", type=int, help="delete the oldest events while the store is larger")
    add("--cohorts-every", default="60s", help="how often the members of cohorts are computed (default %(default)s)")
    add("--fault", action="append", default=[], metavar="KIND[:SHARE]", help="429:0.2, hang:0.05, reset, drip, garbage")
    add("--latency", default="0s", help="delay of every API call, such as 50ms")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError for what cannot work."""
    try:
        from ..collector.server import CollectorServer, listen
    except ImportError:
        raise ConfigurationError("collector", "needs uvicorn: pip install 'moesif-middleware[collector]'") from None
    from ..collector.app import create_app

    with tempfile.TemporaryDirectory(prefix="moesif-collector-") as directory:
        settings = read_settings(arguments, Path(directory))
        with listen(settings.host, arguments.port) as listener:
            server = CollectorServer(create_app(settings))
            server.end_on_signals()
            tune_interpreter()
            _announce(settings, listener)
            server.run(sockets=[listener])
    return 0


def tune_interpreter() -> None:
    """Set this process up for its one task. Call it when everything is imported.

    Parsed events are freed without the garbage collector. With its usual thresholds it would walk them, and all modules
    with them, many times while a batch is parsed.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def read_settings(arguments: argparse.Namespace, directory: Path) -> CollectorSettings:
    """Return the settings that the options mean, or else the environment.

    ``directory`` is where a store goes that has no name. Several ids or keys in a variable have spaces between them.
    """
    for option, variable in VARIABLES.items():
        if not getattr(arguments, option) and (value := os.environ.get(variable)):
            setattr(arguments, option, value if option in ("store", "token") else value.split())
    store = arguments.store or f"sqlite:///{quote(str(directory / 'collector.db'))}"
    return CollectorSettings(
        store=store,
        apps=tuple(dict.fromkeys(arguments.app_id or [f"local-{uuid4().hex}"])),
        management_keys=tuple(_management_key(text) for text in arguments.management_key),
        token=arguments.token,
        host=arguments.host,
        allowed_hosts=tuple(arguments.allowed_host),
        faults=tuple(Fault.parse(text) for text in arguments.fault),
        latency=_seconds("latency", arguments.latency),
        cohorts_every=_seconds("cohorts-every", arguments.cohorts_every),
        retention=Retention(arguments.keep_days, arguments.keep_events, arguments.keep_bytes),
    )


def _management_key(text: str) -> ManagementKey:
    found = _SCOPED_KEY.fullmatch(text)
    return ManagementKey(found[1], frozenset(found[2].split(","))) if found else ManagementKey(text)


def _seconds(option: str, text: str) -> float:
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            try:
                return float(text.removesuffix(unit)) * factor
            except ValueError:
                break
    raise ConfigurationError(option, f"{text!r} is not a time such as 50ms or 1.5s")


def _announce(settings: CollectorSettings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    print(f"collector: listening on {url}")
    for app in settings.apps:
        print(f"collector: application id {app}")
    print(f"collector: page {url}/")
    sys.stdout.flush()
