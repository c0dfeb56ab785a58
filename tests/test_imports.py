"""Who may import whom: the rooms of the architecture have doors only where the plan has them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import moesif_middleware

ROOT = Path(moesif_middleware.__file__).parent
OWN_FRAMEWORK = {
    "asgi": {"starlette"},
    "wsgi": {"werkzeug"},
    "django": {"django", "asgiref"},
    "flask": {"flask"},
    "aiohttp": {"aiohttp"},
    "tornado": {"tornado"},
}
FORBIDDEN_IN_SANSIO = {
    "os", "time", "random", "threading", "socket", "asyncio", "logging", "io", "subprocess", "httpx", "pathlib",
    "secrets", "tempfile", "multiprocessing", "select", "signal", "starlette", "werkzeug",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Return what a module imports when it runs: absolute names, with the package's own as ``moesif_middleware.x``."""
    package = ("moesif_middleware", *path.relative_to(ROOT).with_suffix("").parts)
    package = package[:-1]
    found: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(child for statement in node.body for child in ast.walk(statement))
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def modules(room: str) -> list[Path]:
    """Return the files of a room: a package's, or the one module of that name."""
    one = ROOT / f"{room}.py"
    return [one] if one.exists() else sorted((ROOT / room).rglob("*.py"))


def own(path: Path) -> set[str]:
    """Return the rooms of the package that a module imports from, its own excepted."""
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    parts = {name.split(".")[1] for name in imports(path) if name.startswith("moesif_middleware.") and name.count(".")}
    return parts - {room}


def foreign(path: Path) -> set[str]:
    """Return the top-level names of everything else that it imports."""
    return {name.split(".")[0] for name in imports(path)} - {"moesif_middleware", ""}


ALLOWED = {
    "errors": set(),
    "models": {"errors"},
    "vendor_keys": set(),
    "settings": {"errors", "models", "vendor_keys"},
    "sansio": {"errors", "models"},
    "runtime": {"errors", "models", "settings", "sansio", "_version"},
    "api": {"errors", "models", "sansio", "_version"},
    "collector": {"errors", "models", "sansio", "_version"},
    "outgoing": {"errors", "models", "settings", "sansio", "runtime"},
    "asgi": {"runtime", "sansio", "settings", "errors"},
    "wsgi": {"runtime", "sansio", "settings", "errors"},
    "flask": {"runtime", "sansio", "settings", "errors", "wsgi"},
    "django": {"runtime", "sansio", "settings", "errors"},
    "metrics": {"runtime", "errors"},
    "compat": {"runtime", "outgoing", "asgi", "wsgi", "django", "vendor_keys"},
}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_from_the_rooms_it_may(room: str) -> None:
    """An import that the architecture does not have fails here, with the file that makes it."""
    wrong = {str(path.relative_to(ROOT)): own(path) - ALLOWED[room] for path in modules(room)}
    assert {name: rooms for name, rooms in wrong.items() if rooms} == {}


def test_the_pure_core_cannot_reach_the_world() -> None:
    """No clock, socket, file, environment, randomness, thread or log in sansio."""
    wrong = {str(path.relative_to(ROOT)): foreign(path) & FORBIDDEN_IN_SANSIO for path in modules("sansio")}
    assert {name: names for name, names in wrong.items() if names} == {}


@pytest.mark.parametrize("adapter", sorted(OWN_FRAMEWORK))
def test_an_adapter_imports_no_framework_but_its_own(adapter: str) -> None:
    """An application does not pay for frameworks that it does not use."""
    others = {"starlette", "werkzeug", "django", "flask", "fastapi", "asgiref"} - OWN_FRAMEWORK[adapter]
    wrong = {str(path.relative_to(ROOT)): foreign(path) & others for path in modules(adapter)}
    assert {name: names for name, names in wrong.items() if names} == {}


def test_the_root_imports_no_framework_and_no_server() -> None:
    """``import moesif_middleware`` pulls in nothing that an application may not have."""
    code = "import sys, moesif_middleware; print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    loaded = set(done.stdout.split())
    assert loaded & {"starlette", "werkzeug", "django", "flask", "fastapi", "uvicorn"} == set()


def test_the_root_imports_nothing_that_the_first_request_does_not_need() -> None:
    """What takes long and is for some applications only comes with its first use: an import is paid at every start."""
    code = "import sys, httpx; before = {*sys.modules}; import moesif_middleware; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    loaded = set(done.stdout.split())
    late = {"anyio", "asyncio", "httpcore", "sqlite3", "signal", "difflib", "isal", "brotli", "zstandard"}
    own = {"api", "cli", "collector", "compat", "outgoing", "testing", "vendor_keys", "sansio.explain"}
    own |= {f"runtime.{name}" for name in ("transport", "compression", "spool", "lifespan", "streams")}
    assert loaded & (late | {f"moesif_middleware.{name}" for name in own}) == set()


@pytest.mark.parametrize(("adapter", "framework"), [("asgi", "starlette"), ("wsgi", "werkzeug")])
@pytest.mark.parametrize("hook", ["", "identify_user", "skip"])
def test_an_adapter_of_any_framework_imports_one_for_hooks_alone(adapter: str, framework: str, hook: str) -> None:
    """A hook is given the request of a library, which is there before the first request; nothing else needs it."""
    options = f"application_id='a', {hook}=print" if hook else "application_id='a'"
    code = (
        f"import sys; from moesif_middleware.{adapter} import MoesifMiddleware; MoesifMiddleware(print, {options});"
        f"print({framework!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.split() == [str(bool(hook))]


def test_the_public_names_exist_once() -> None:
    """``__all__`` is the public surface; ruff keeps its order."""
    names = moesif_middleware.__all__
    assert len(names) == len(set(names))
    assert all(hasattr(moesif_middleware, name) for name in names)
