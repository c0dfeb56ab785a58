"""Where the suites are run: their sdists, their environments, and the outcomes of their runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from .suites import Suite

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("record", "probe", "django_settings", "django_runner")
"""What runs inside the suites' environments."""
WRAP_CHILDREN = (
    'import os; names = os.environ.get("UPSTREAM_CHILDREN"); '
    'names and __import__("upstream_probe").wrap(names.split(","))'
)
"""What each Python of a suite's environment runs at its start: servers that a test starts are wrapped as well."""
TIMEOUT = 5400.0
"""Seconds for one run of one suite."""


class Workplace:
    """One suite's corner of the work directory."""

    def __init__(self, work: Path, suite: Suite) -> None:
        self.suite = suite
        self.site = work / "site"
        self.home = work / suite.label
        self.source = self.home / "source"
        self.python = self.home / "environment" / "bin" / "python"

    def prepare(self) -> None:
        """Download, unpack and install what is not there yet."""
        self.home.mkdir(parents=True, exist_ok=True)
        _link_site(self.site)
        if not self.source.exists():
            self._unpack(self._download())
        ready = self.home / "environment.json"
        wanted = json.dumps([*self._requirements()])
        if not ready.exists() or ready.read_text() != wanted:
            self._install()
            ready.write_text(wanted)

    def bare(self) -> dict[str, str]:
        """Return the outcomes without the middleware, from the one run that was made in this environment."""
        made_of, results = self.home / "bare-made-of.json", self.home / "bare.json"
        wanted = json.dumps([self.suite.command, self.suite.parts, self._requirements()])
        if not results.exists() or not made_of.exists() or made_of.read_text() != wanted:
            self.run("bare", self.suite.parts, {})
            made_of.write_text(wanted)
        return _read(results)

    def wrapped(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the outcomes with the middleware, and the probe's counts."""
        outcomes = self._wrapped_run("with", self.suite.parts, {})
        return outcomes, _read(self.home / "with-events.json")

    def again(self, tests: tuple[str, ...]) -> dict[str, str]:
        """Return the outcomes of these tests by themselves, with the middleware: some fail now and then."""
        return self._wrapped_run("again", tests, {}) if tests else {}

    def control(self, tests: tuple[str, ...]) -> dict[str, str]:
        """Return the outcomes of these tests with something that does nothing in the middleware's place."""
        return self._wrapped_run("control", tests, {"UPSTREAM_CONTROL": "1"}) if tests else {}

    def _wrapped_run(self, name: str, tests: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
        events = self.home / f"{name}-events.json"
        events.unlink(missing_ok=True)
        probe = {"UPSTREAM_WRAPS": ",".join(self.suite.wraps), "UPSTREAM_EVENTS": str(events)}
        plugin = ("-p", "upstream_probe") if self.suite.is_pytest else ()
        return self.run(name, (*plugin, *tests), {**environment, **probe})

    def run(self, name: str, tests: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
        """Run these tests and return the outcomes. Output goes to ``name``.log."""
        results = self.home / f"{name}.json"
        results.unlink(missing_ok=True)
        with self._log(name) as log:
            # The outcomes say which tests failed; the exit status is about tests that fail without the middleware too.
            subprocess.run(
                [self.python, *self.suite.command, *tests],
                cwd=self.source / self.suite.directory,
                env={**self._environment(), **environment, "UPSTREAM_RESULTS": str(results)},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=TIMEOUT,
                check=False,
            )
        return _read(results)

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MOESIF", "UPSTREAM"))}
        return {**kept, "PYTHONPATH": str(self.site), "PYTHONHASHSEED": "0", **self.suite.environment}

    def _download(self) -> Path:
        sdist = f"{self.suite.name}=={self.suite.version}"
        self._pip(
            Path(sys.executable), "download", "--no-deps", "--no-binary", self.suite.name, "-d", str(self.home), sdist
        )
        return next(self.home.glob("*.tar.gz"))

    def _unpack(self, sdist: Path) -> None:
        unpacked = self.home / "unpacked"
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        next(unpacked.iterdir()).rename(self.source)

    def _requirements(self) -> tuple[str, ...]:
        ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        return (f"{self.source}{self.suite.extras}", *self.suite.requires.split(), *ours)

    def _install(self) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--clear", self.home / "environment"], check=True)
        self._pip(self.python, "install", *self._requirements())
        (packages,) = (self.home / "environment" / "lib").glob("python*/site-packages")
        (packages / "upstream.pth").write_text(f"{self.site}\n{WRAP_CHILDREN}\n")

    def _pip(self, python: Path, *arguments: str) -> None:
        environment = {**os.environ, **self.suite.environment}
        with self._log("pip") as log:
            subprocess.run([str(python), "-m", "pip", *arguments], check=True, env=environment, stdout=log, stderr=log)

    def _log(self, name: str) -> IO[str]:
        return (self.home / f"{name}.log").open("w")


def _link_site(site: Path) -> None:
    """Make the directory that all runs import from: the package and the modules, and nothing else of the project."""
    site.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    targets = {"moesif_middleware": ROOT / "moesif_middleware"}
    targets |= {f"upstream_{name}.py": here / f"{name}.py" for name in MODULES}
    for name, target in targets.items():
        link = site / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def _read(results: Path) -> dict[str, Any]:
    """Return what a run wrote; nothing when it ended before it could."""
    found: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    return found
