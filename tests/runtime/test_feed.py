"""Config and rules: fetched in the background, by tags, with the last good copy kept."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from moesif_middleware import Settings
from moesif_middleware.runtime import feed as feed_module
from moesif_middleware.runtime.feed import Feed
from moesif_middleware.sansio.protocol import Answer
from tests.faults import FaultServer, Reply, Request, garbage, hang
from tests.waiting import until


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A collector with a config that samples at 25 % and with tags."""
    made = FaultServer()

    def config(request: Request) -> Reply:
        tags = {"X-Moesif-Config-ETag": "c1", "X-Moesif-Rules-Tag": "r1", "ETag": "c1"}
        if request.headers.get("if-none-match") == "c1":
            return Reply(304, tags, b"")
        return Reply(200, tags, b'{"sample_rate": 25}')

    made.config = config
    made.rules = lambda request: Reply(200, {"X-Moesif-Rules-Tag": "r1"}, b"[]")
    made.start()
    yield made
    made.stop()


def make(server: FaultServer, **options: float) -> Feed:
    """Make a feed for the server."""
    quick = {"read_timeout": 0.3, "request_timeout": 0.5, **options}
    return Feed(Settings(application_id="test-app", base_uri=server.url, **quick))  # type: ignore[arg-type]


def rate(feed: Feed) -> float:
    """Return the rate that the snapshot gives to anybody."""
    from moesif_middleware.sansio.conditions import Subject
    from tests.runtime.test_delivery import exchange

    subject = Subject(exchange().head, ip_address=lambda: None, body=None, status=None)
    return feed.snapshot.sampling.rate(subject, None, None)


def test_the_thread_warms_up_before_it_fetches(server: FaultServer) -> None:
    """What the first event needs is made while no request waits for it."""
    asked: list[int] = []
    feed = Feed(
        Settings(application_id="test-app", base_uri=server.url), warm_up=lambda: asked.append(len(server.requests))
    )
    feed.start()
    until(lambda: feed.fetches)
    feed.stop()
    assert asked == [0]


def test_both_are_fetched_and_asked_again_with_their_etag(server: FaultServer) -> None:
    """A 304 keeps the copy."""
    feed = make(server)
    assert feed.refresh()
    assert rate(feed) == 25
    assert feed.refresh()
    assert rate(feed) == 25
    assert [request.headers.get("if-none-match") for request in server.requests] == [None, None, "c1", "r1"]
    assert {request.headers["accept-encoding"] for request in server.requests} == {"identity"}
    feed._transport.close()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(200, body=b"not json"),
        Reply(200, body=b"[1, 2]"),
        Reply(200, body=b"\xff\xfe"),
        Reply(302, {"Location": "/v1/rules"}),
        Reply(401),
        Reply(raw=garbage),
        Reply(raw=hang(2)),
    ],
    ids=["500", "not JSON", "wrong type", "not UTF-8", "redirect", "401", "garbage", "hangs"],
)
def test_a_failure_keeps_the_last_good_copy(server: FaultServer, reply: Reply) -> None:
    """Whatever the collector sends, the rules in force stay, and the next good answer replaces them."""
    feed = make(server)
    assert feed.refresh()
    good, server.config = server.config, lambda request: reply
    feed._documents["config"].etag = None
    assert not feed.refresh()
    assert rate(feed) == 25
    assert feed.failure.startswith("/v1/config")
    server.config = good
    assert feed.refresh()
    assert feed.failure == ""
    feed._transport.close()


def test_what_of_a_document_cannot_be_used_is_said_once_and_the_rest_is_used(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A pattern that is refused does not take the other rules with it, and does not fill the log."""
    bad = b'{"_id":"b","type":"regex","regex_config":[{"conditions":[{"path":"request.route","value":"(?=x)"}]}]}'
    server.rules = lambda request: Reply(200, {}, b'[{"_id":"a","type":"regex"},' + bad + b',{"type":"user"}]')
    feed = make(server)
    for _ in range(3):
        assert feed.refresh()
    assert [rule.id for rule in feed.snapshot.rules.rules] == ["a", "b"]
    (said,) = [record.getMessage() for record in caplog.records if "not used" in record.getMessage()]
    assert "[2]: has no _id" in said
    assert "(?=x)" in said
    feed._transport.close()


def test_it_goes_on_by_itself_and_stops(server: FaultServer) -> None:
    """Every interval, on a thread of its own."""
    feed = make(server, refresh_interval=1.0)
    feed.start()
    until(lambda: feed.fetches >= 2)
    feed.stop()
    assert feed._thread is not None
    feed._thread.join(2)
    assert not feed._thread.is_alive()


def test_a_new_tag_asks_for_a_fetch_and_flapping_ones_do_not(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tags are remembered, and ten seconds lie between two fetches that tags ask for."""
    monkeypatch.setattr(feed_module, "LEAST_INTERVAL", 0.1)
    feed = make(server, refresh_interval=3600.0)
    feed.start()
    until(lambda: feed.fetches == 1)
    feed.notice(Answer(201, config_tag="c1", rules_tag="r1"))
    time.sleep(0.3)
    assert feed.fetches == 1
    feed.notice(Answer(201, config_tag="c2", rules_tag="r1"))
    until(lambda: feed.fetches == 2)
    for _ in range(5):
        feed.notice(Answer(201, config_tag="c2", rules_tag="r1"))
        feed.notice(Answer(201, config_tag="c1", rules_tag="r1"))
    time.sleep(0.3)
    assert feed.fetches == 2
    feed.stop()
