"""What is in the wheel, and that it says the same about itself everywhere."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from moesif_middleware import __version__

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel and return the names in it."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (path,) = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_package_the_types_and_the_page(wheel: list[str]) -> None:
    """Everything that the package needs when it runs."""
    for name in ("py.typed", "collector/static/index.html", "collector/static/app.js", "cli/collector.py"):
        assert f"moesif_middleware/{name}" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_wheel_holds_nothing_stray(wheel: list[str]) -> None:
    """No tests, examples, caches or databases."""
    top = {name.split("/")[0] for name in wheel}
    assert top == {"moesif_middleware", f"moesif_middleware-{__version__}.dist-info"}
    suffixes = {Path(name).suffix for name in wheel if name.startswith("moesif_middleware/")}
    assert suffixes <= {".py", ".typed", ".html", ".js", ".css", ".svg", ".json"}


def test_there_is_one_version() -> None:
    """The package, the project file and the changelog agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
