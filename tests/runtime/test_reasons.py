"""Why nothing arrives: one line that names the place and what mends it, in the log and in ``stats()``."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import httpcore
import pytest

from moesif_middleware import Moesif
from moesif_middleware.runtime.transport import _advice
from moesif_middleware.sansio.protocol import own_words, refusal
from tests.faults import FaultServer, Reply
from tests.runtime.test_delivery import submit
from tests.waiting import until


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address on which nothing listens, and nothing will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def reason(moesif: Moesif) -> str:
    """Return why an event could not be delivered."""
    submit(moesif, 1)
    end = time.monotonic() + 20
    while not (found := moesif.stats()["collector"]["reason"]) and time.monotonic() < end:
        moesif.flush(0.05)
    return str(found)


def test_a_collector_that_is_not_running_is_named(
    make: Callable[..., Moesif], nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The first thing that a newcomer forgets is to start it."""
    caplog.set_level(logging.WARNING, logger="moesif_middleware")
    found = reason(make(base_uri=f"http://{nobody}"))
    assert found.startswith(f"http://{nobody}: nothing listens there; start it, or correct base_uri (ConnectError: ")
    said = [record.getMessage() for record in caplog.records if record.name.endswith("worker")]
    assert said == [f"the collector does not take events now, they wait in memory: {found}"]


def test_a_proxy_that_is_not_running_is_named_without_its_password(
    server: FaultServer, make: Callable[..., Moesif], nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment asks for is easily forgotten, and the collector is not to blame."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://ann:pw-canary@{nobody}")
    found = reason(make())
    assert found.startswith(f"{server.url} through the proxy {nobody} of the environment: nothing listens there; ")
    assert "NO_PROXY" in found
    assert "pw-canary" not in found


def test_a_base_uri_with_the_wrong_scheme_is_told_from_a_broken_one(
    server: FaultServer, make: Callable[..., Moesif]
) -> None:
    """https for a collector on this machine, which speaks plain HTTP."""
    assert "base_uri may have to begin with http://" in reason(make(base_uri=server.url.replace("http", "https")))


def test_a_collector_that_hangs_is_told_from_one_that_refuses(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """The connection is there, the answer is not."""
    server.script = lambda request: Reply(delay=1.0)
    assert reason(make(read_timeout=0.1)) == f"{server.url}: no answer in time (ReadTimeout: timed out)"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(401, body=b'{"error": "unknown id"}'), 'correct it, or base_uri (it says: {"error'),
        (Reply(402), "HTTP 402: the subscription of this application id is not active (it says: {})"),
        (Reply(404, body=b"<html>\n<b>Not found</b></html>"), "HTTP 404: base_uri leads to a server that has no Coll"),
        (Reply(501, body=b""), "HTTP 501: base_uri leads to a server that has no Collector API there; correct it"),
        (Reply(503, body=b"later,\r\n\x1b[31m please"), "HTTP 503 (it says: later, [31m please)"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_success_says_what_mends_it(
    server: FaultServer, make: Callable[..., Moesif], reply: Reply, words: str
) -> None:
    """In one line, whatever the server's own words are; a page for people is left out."""
    server.script = lambda request: reply
    found = reason(make())
    assert words in found
    assert found.isprintable()
    assert "<" not in found


@pytest.mark.parametrize(
    ("cause", "error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), httpcore.ConnectError(), "the name of the host"),
        (ssl.SSLCertVerificationError("self-signed"), httpcore.ConnectError(), "SSL_CERT_FILE"),
        (OSError(), httpcore.ConnectTimeout("timed out"), "no connection within connect_timeout"),
        (OSError(), httpcore.RemoteProtocolError("illegal status line"), "begin with https://"),
        (OSError(), httpcore.ReadError(), ""),
    ],
)
def test_what_cannot_be_made_to_happen_here_is_told_apart_too(
    cause: BaseException, error: Exception, words: str
) -> None:
    """Name servers, certificates and firewalls."""
    assert words in _advice(cause, error, proxied=False)
    assert words or not _advice(cause, error, proxied=False)


def test_the_words_of_a_server_are_cut_to_a_line() -> None:
    """Whatever it sends."""
    assert len(own_words(b"x" * 10_000)) == 300
    assert own_words(b"\xff\xfe \n ok") == "\ufffd\ufffd ok"
    assert refusal(429, "") == "HTTP 429"


def test_what_is_still_queued_at_the_end_is_a_warning(
    make: Callable[..., Moesif], nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn ends itself right after the lifespan: this line is the only one that tells of the loss."""
    moesif = make(base_uri=f"http://{nobody}")
    submit(moesif, 2)
    with caplog.at_level(logging.WARNING, logger="moesif_middleware"):
        moesif.report()
    assert caplog.messages == ["moesif-middleware ends: 2 captured, 0 delivered, 0 spooled, 2 queued"]


def test_stats_say_why_config_and_rules_are_old(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """Events may arrive while the sampling rates do not."""
    server.config = lambda request: Reply(404, body=b"")
    moesif = make()
    submit(moesif, 1)
    moesif.start()
    found = until(lambda: moesif.stats()["collector"]["config_failure"])
    words = "HTTP 404: base_uri leads to a server that has no Collector API there; correct it"
    assert found == f"/v1/config: {words}"
    assert moesif.flush(10)
    assert moesif.stats()["collector"]["reason"] == ""
