"""Settings: checked once, with errors that name the key and the fix."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from moesif_middleware import ConfigurationError, Hooks, Masking, MemorySink, Moesif, Settings, aiohttp
from moesif_middleware.asgi import MoesifMiddleware
from moesif_middleware.tornado import MoesifMiddleware as TornadoMiddleware
from moesif_middleware.wsgi import MoesifMiddleware as WSGIMiddleware

ID = {"application_id": "an-application-id"}


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({}, "application_id", "MOESIF_APPLICATION_ID"),
        ({"application_id": ""}, "application_id", "is missing"),
        ({"application_id": "a b"}, "application_id", "visible ASCII"),
        ({"application_id": "a\r\nb"}, "application_id", "visible ASCII"),
        ({"application_id": "an-id\n"}, "application_id", "not text with white space around it"),
        ({"application_id": 12}, "application_id", "not int"),
        ({"application_id": "x" * 600}, "application_id", "not text of 600"),
        ({"application_id": "an id"}, "application_id", "not text with other characters in it"),
        ({**ID, "boddy_bytes": 1}, "boddy_bytes", "did you mean body_bytes?"),
        ({**ID, "BODDY_BYTES": 1}, "BODDY_BYTES", "did you mean BODY_BYTES?"),
        ({**ID, "entirely_unknown": 1}, "entirely_unknown", "is not a setting"),
        (
            {**ID, "BATCH_SIZE": 1},
            "BATCH_SIZE",
            "BATCH_SIZE is now batch_events; see docs/migration.md",
        ),
        ({**ID, "body_bytes": "many"}, "body_bytes", "whole number of bytes from 0 to 460800"),
        ({**ID, "body_bytes": 500_000}, "body_bytes", "from 0 to 460800"),
        ({**ID, "body_bytes": 1.5}, "body_bytes", "whole number"),
        ({**ID, "body_bytes": True}, "body_bytes", "whole number"),
        ({**ID, "debug": "maybe"}, "debug", "True or False"),
        ({**ID, "governance": "on"}, "governance", "enforce, shadow, off"),
        ({**ID, "base_uri": "api.moesif.net"}, "base_uri", "a URL such as"),
        ({**ID, "skip_paths": 3}, "skip_paths", "list of strings"),
        ({**ID, "skip": "no function"}, "skip", "must be a function"),
        ({**ID, "masking": {"of": ["pin"]}}, "masking.of", "did you mean off?"),
        ({**ID, "masking": 3}, "masking", "Masking(...)"),
        ({**ID, "hooks": {"identify_usr": print}}, "hooks.identify_usr", "identify_user"),
        ({**ID, "flush_interval": "nan"}, "flush_interval", "from 0.01 to 3600"),
        ({**ID, "body_bytes": float("nan")}, "body_bytes", "not nan"),
        ({**ID, "body_bytes": float("inf")}, "body_bytes", "not inf"),
        ({**ID, "base_uri": None}, "base_uri", "a URL such as"),
        ({**ID, "base_uri": "http://host:99999"}, "base_uri", "Port out of range"),
        ({**ID, "base_uri": "http://[::1"}, "base_uri", "Invalid IPv6"),
        ({**ID, "base_uri": "http://:80"}, "base_uri", "a URL such as"),
        ({**ID, "base_uri": "http://ann:pw@host"}, "base_uri", "without a user or a password"),
        ({**ID, "authorization_user_id_field": None}, "authorization_user_id_field", "a claim's name"),
        ({**ID, "trusted_proxies": "10.0.0.0/8, proxy"}, "trusted_proxies", "'proxy' must be an address or a network"),
        ({**ID, 7: 1}, "7", "is not a setting"),
    ],
)
def test_a_bad_setting_is_one_error_with_the_key_and_the_fix(options: dict[str, Any], key: str, words: str) -> None:
    """Unknown keys, missing ones and wrong types are told apart and say what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(options, {})
    assert caught.value.key == key
    assert words in str(caught.value)


def test_a_password_in_the_base_uri_is_not_repeated() -> None:
    """The line goes into a log."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({**ID, "base_uri": "http://ann:pw-canary@host"}, {})
    assert "pw-canary" not in str(caught.value)


def by_init_app(_: Any, moesif: Any, **options: Any) -> SimpleNamespace:
    """Stand in for a class where there is a function."""
    return SimpleNamespace(moesif=aiohttp.init_app(web.Application(), moesif, **options))


@pytest.mark.parametrize(
    ("moesif", "options", "problem"),
    [
        ("an-id", {}, "settings: must be Settings(...) or a mapping, not str; an application id is passed as "),
        (7, {}, "settings: must be Settings(...) or a mapping, not int; "),
        ({"APPLICATION_IDD": "x"}, {}, "APPLICATION_IDD: is not a setting; did you mean APPLICATION_ID?"),
        (None, {"settings": {"aplication_id": "x"}}, "aplication_id: is not a setting; did you mean application_id?"),
        (Moesif(**ID), {"debug": True}, "debug: goes into the Settings or Moesif that you pass"),
        (None, {**ID, "masking": {"values": ["("]}}, "masking.values: '(' is no RE2 pattern: "),
        (None, {**ID, "capture_statuses": "many"}, "capture_statuses: 'many' must be a status such as 404, or 4xx"),
    ],
)
@pytest.mark.parametrize("middleware", [MoesifMiddleware, WSGIMiddleware, TornadoMiddleware, by_init_app])
def test_whatever_stands_in_the_handle_s_place_is_one_clear_error(
    middleware: Any, moesif: Any, options: dict[str, Any], problem: str
) -> None:
    """An application id or a dictionary in the second place is an easy slip, and must not end every request."""
    assert middleware(print, moesif, **options).moesif.problem.startswith(problem)


def test_a_mapping_in_the_handle_s_place_is_its_settings() -> None:
    """As those who come from other packages write it."""
    for options in ({"settings": ID}, {"moesif": ID}, {"moesif": {"APPLICATION_ID": ID["application_id"]}}):
        assert MoesifMiddleware(print, **options).moesif is Moesif.shared(**ID)  # type: ignore[arg-type]


def test_handles_are_shared_by_settings_only_while_they_are_open() -> None:
    """A sink of one's own and a hook that cannot be hashed make a handle of one's own; closing one leaves others."""

    class Hook:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, request: Any) -> None: ...

    shared, other = Moesif.shared(**ID), Moesif(**ID)
    other.close(0)
    assert Moesif.shared(**ID) is shared
    assert Moesif.shared(**ID, sink=MemorySink()) is not shared
    assert Moesif.shared(**ID, identify_user=Hook()).problem is None
    shared.close(0)
    assert Moesif.shared(**ID) is not shared


def test_a_sink_may_be_empty() -> None:
    """One that has a length is not taken for none."""

    class Listed(MemorySink):
        def __len__(self) -> int:
            return len(self.events)

    sink = Listed()
    assert Moesif(**ID, sink=sink).worker.sink is sink


@pytest.mark.parametrize("configured", [False, True])
def test_without_any_logging_configured_a_bad_setting_is_seen_all_the_same(configured: bool) -> None:
    """Under uvicorn and gunicorn most applications configure none: the line goes to standard error."""
    code = "from moesif_middleware import Moesif; Moesif(aplication_id='x')"
    if configured:
        code = f"import logging; logging.basicConfig(format='%(levelname)s %(name)s %(message)s'); {code}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = "moesif-middleware is off, the application runs without it: aplication_id: is not a setting; "
    start = "ERROR moesif_middleware.runtime.client " if configured else ""
    assert run.stderr == f"{start}{line}did you mean application_id?\n"


def test_the_application_id_is_in_no_error_and_no_repr() -> None:
    """It is a credential: the last four characters are enough to recognise it."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(application_id="very secret value")
    assert "secret" not in str(caught.value)
    shown = repr(Moesif(Settings(application_id="abcdefghijkl"), sink=None))
    assert "ijkl" in shown
    assert "abcdefgh" not in shown


def test_keywords_win_over_the_environment_and_any_case_is_read() -> None:
    """One table of keys: a keyword, a framework's mapping and a variable have the same name."""
    environ = {"MOESIF_APPLICATION_ID": "from-env", "MOESIF_BODY_BYTES": "10", "MOESIF_DEBUG": "yes", "HOME": "/"}
    settings = Settings.load({"BODY_BYTES": 20}, environ)
    assert (settings.application_id, settings.body_bytes, settings.debug) == ("from-env", 20, True)


def test_a_variable_that_is_nearly_a_setting_is_an_error_and_a_foreign_one_is_not() -> None:
    """Other programs may use the prefix too."""
    with pytest.raises(ConfigurationError, match="MOESIF_BODY_BYTES"):
        Settings.load(ID, {"MOESIF_BODY_BYTE": "1"})
    assert Settings.load(ID, {"MOESIF_COLLECTOR_HOME": "x"}) == Settings.load(ID, {})


@pytest.mark.parametrize("off", [False, "false", "0", "no"])
def test_what_is_switched_off_needs_no_application_id(off: object) -> None:
    """A test environment sets one variable."""
    assert Settings.load({"enabled": off}, {}).enabled is False


def test_hooks_may_be_given_alone_or_together() -> None:
    """A hook is a keyword like any other."""
    settings = Settings.load({**ID, "hooks": Hooks(skip=max), "identify_user": min}, {})
    assert (settings.hooks.skip, settings.hooks.identify_user) == (max, min)


def test_masking_takes_lists_and_is_frozen() -> None:
    """Settings are values: equal ones are equal and share a handle."""
    one = Settings.load({**ID, "masking": {"extra_names": ["national id"]}}, {})
    two = Settings(application_id=ID["application_id"], masking=Masking(extra_names=("national id",)))
    assert one == two
    assert hash(one) == hash(two)
    assert Moesif.shared(one) is Moesif.shared(two)


async def test_a_misconfigured_middleware_says_so_once_and_lets_the_application_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By default monitoring that cannot work must not stop the service that it should watch."""
    called = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["type"])

    with caplog.at_level(logging.ERROR):
        middleware = MoesifMiddleware(app, application_idd="x")
        await middleware({"type": "http"}, None, None)  # type: ignore[arg-type]
    assert called == ["http"]
    problem = "application_idd: is not a setting; did you mean application_id?"
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"moesif-middleware is off, the application runs without it: {problem}"]
    assert middleware.moesif.stats()["problem"] == problem


def test_strict_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who want a bad setting to stop the start."""
    with pytest.raises(ConfigurationError):
        MoesifMiddleware(lambda *args: None, strict=True)  # type: ignore[arg-type, return-value]
    monkeypatch.setenv("MOESIF_STRICT", "1")
    with pytest.raises(ConfigurationError):
        Moesif()


def test_settings_say_what_they_are() -> None:
    """Every row of the table has a sentence, from which the documentation is made."""
    assert [item.name for item in fields(Settings) if not item.metadata["doc"].endswith(".")] == []


@pytest.mark.parametrize("configured", [False, True])
def test_debug_says_what_is_captured_and_sent_and_no_content(configured: bool) -> None:
    """Whoever asks for it sees it, with and without a logging of their own; paths and bodies stay out of it."""
    code = (
        "import logging\n"
        f"{'logging.basicConfig(level=logging.WARNING)' if configured else ''}\n"
        "from moesif_middleware import Moesif, MemorySink\n"
        "from moesif_middleware.wsgi import MoesifMiddleware\n"
        "moesif = Moesif(application_id='x', debug=True, sink=MemorySink())\n"
        "app = MoesifMiddleware(lambda environ, start: start('200 OK', []) and [] or [], moesif)\n"
        "app({'REQUEST_METHOD': 'GET', 'PATH_INFO': '/canary'}, lambda *_: print)\n"
        "moesif.flush()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    start = "DEBUG:moesif_middleware.runtime.{}:" if configured else ""
    lines = run.stderr.splitlines()
    assert f"{start.format('client')}captured: GET, status 200: queued" in lines
    assert f"{start.format('worker')}sent: 1 events, HTTP 201" in lines
    assert "canary" not in run.stderr
