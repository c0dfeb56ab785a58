"""The table of what is run: releases, what their tests need, which parts, and where the middleware goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=300", "-p", "upstream_record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The tests of one release. ``name`` is the package's on the registry, with the extras that are installed."""

    name: str
    version: str
    requires: str
    """What the tests need beside the package itself, with spaces between."""
    wraps: tuple[str, ...]
    """Where the middleware goes: names that ``probe.wrap`` knows."""
    extras: str = ""
    command: tuple[str, ...] = PYTEST
    """Of Python, in ``directory``."""
    parts: tuple[str, ...] = ("tests",)
    """What the command is to run: files, directories, Django's labels."""
    directory: str = "."
    """Where the tests are run, from the top of the sdist."""
    environment: Mapping[str, str] = field(default_factory=dict)
    exceptions: Mapping[str, str] = field(default_factory=dict)
    """Tests that fail with the middleware since they look at what it has to change, each with the reason."""

    @property
    def label(self) -> str:
        """Return the name and version as a directory's name."""
        return f"{self.name}-{self.version}"

    @property
    def is_pytest(self) -> bool:
        """Return whether pytest runs the suite, rather than Django's own runner."""
        return self.command[: len(PYTEST)] == PYTEST


DJANGO_PARTS = (
    *("requests_tests", "handlers", "asgi", "file_uploads", "middleware", "i18n", "sessions_tests"),
    *("async", "auth_tests", "builtin_server", "conditional_processing", "csrf_tests", "flatpages_tests"),
    *("generic_views", "messages_tests", "middleware_exceptions", "redirects_tests", "servers", "staticfiles_tests"),
    *("syndication_tests", "test_client", "test_client_regress", "view_tests", "wsgi"),
)
"""What is about requests and responses; the rest is the ORM, templates and forms."""
LITESTAR_UNITS = (
    *("app.py", "asgi", "background_tasks.py", "connection", "controller.py", "di.py", "exceptions.py", "guards.py"),
    *("handlers", "kwargs", "middleware", "pagination.py", "params.py", "request_class_resolution.py", "response"),
    *("response_class_resolution.py", "security", "static_files", "template", "testing"),
    "websocket_class_resolution.py",
)
"""Those that build applications: the whole takes three times as long, and needs databases."""

SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="starlette",
            version="1.10.0",
            extras="[full]",
            requires="blockbuster httpx2[zstd] importlib-metadata opentelemetry-sdk pytest trio",
            wraps=("starlette", "httpx", "httpx2"),
        ),
        Suite(
            name="flask",
            version="3.1.3",
            extras="[async,dotenv]",
            requires="greenlet pytest<9.1",
            wraps=("flask",),
            exceptions={
                "tests/test_basic.py::test_app_freed_on_zero_refcount": "whatever stands in app.wsgi_app, as Flask "
                "documents it for middleware, holds the application that holds it; the garbage collector frees both"
            },
        ),
        Suite(
            name="werkzeug",
            version="3.1.9",
            requires="cffi cryptography ephemeral-port-reserve pytest<9.2 pytest-timeout watchdog<7",
            wraps=("werkzeug",),
            # The tests of the development server wait for it without end.
            command=(*PYTEST, "--timeout=120"),
        ),
        Suite(
            name="fastapi",
            version="0.165.0",
            extras="[all]",
            requires=(
                "a2wsgi anyio[trio]<5 coverage[toml]<8 dirty-equals flask<4 httpx<1 httpx2>=2 "
                "inline-snapshot logfire>=5.1 mypy opentelemetry-exporter-otlp-proto-http>=1.44 "
                "opentelemetry-instrumentation-fastapi>=0.65b0 opentelemetry-sdk>=1.44 pwdlib[argon2] "
                "pyjwt pytest<9.2 pytest-codspeed pytest-timeout pytest-xdist python-slugify pyyaml ruff<0.17 "
                "sentry-sdk>=2.70 sqlmodel strawberry-graphql<1 ty typer"
            ),
            wraps=("starlette", "httpx", "httpx2"),
        ),
        Suite(
            name="django",
            version="6.1.3",
            requires="jinja2 pyyaml tzdata",
            wraps=("django",),
            directory="tests",
            command=("runtests.py", "--settings=upstream_django_settings", "--parallel=1"),
            parts=DJANGO_PARTS,
        ),
        Suite(
            name="falcon",
            version="4.4.0",
            requires=(
                "aiofiles cbor2 coverage httpx msgpack msgspec mujson "
                "pytest<9 python-rapidjson pyyaml requests ujson uvicorn websockets"
            ),
            wraps=("falcon",),
            environment={"FALCON_DISABLE_CYTHON": "1"},
        ),
        Suite(
            name="litestar",
            version="2.13.0",
            extras="[annotated-types,attrs,brotli,jinja,jwt,mako,minijinja,prometheus,pydantic,redis,standard,structlog]",
            # Of the time of the release, where later ones make its tests fail.
            requires=(
                "advanced-alchemy<0.25 aiosqlite anyio<4.7 asyncpg beanie<2 beautifulsoup4 fsspec httpx<0.28 "
                "httpx-sse<0.5 hypothesis minijinja<3 msgspec<0.20 picologging polyfactory<2.19 psutil "
                "psycopg[binary] pydantic<2.10 pytest<8 pytest-asyncio<0.25 pytest-lazy-fixtures pytest-mock "
                "pytest-timeout pytest-xdist python-dotenv sqlalchemy<2.1 starlette<0.42 time-machine<3 trio<0.28"
            ),
            wraps=("litestar",),
            parts=("tests/e2e", *(f"tests/unit/test_{part}" for part in LITESTAR_UNITS)),
        ),
    )
}
