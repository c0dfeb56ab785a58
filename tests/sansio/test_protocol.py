"""What the collector's answers mean, and how long to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesif_middleware.sansio.batches import Batch, split
from moesif_middleware.sansio.protocol import HEALTHY, Verdict, backoff, pause, read_answer, retry_after, verdict

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((200, 201, 204), Verdict.DELIVERED),
        ((408, 425, 429, 500, 502, 503, 504), Verdict.RETRY),
        ((400, 413, 422), Verdict.SPLIT),
        ((301, 302, 307, 401, 402, 403, 404, 405, 406, 410, 501), Verdict.PAUSE),
    ],
)
def test_each_status_has_one_consequence(statuses: tuple[int, ...], expected: Verdict) -> None:
    """The contract's list: transient ones are retried, a bad item is looked for, the rest waits for a hand."""
    assert {status: verdict(status) for status in statuses} == dict.fromkeys(statuses, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("86400", 300.0),
        ("9" * 5000, 300.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("Tue, 14 Nov 2024 22:13:30 GMT", 300.0),
        ("Tue, 99 Nov 2023 22:13:30 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, expected: float | None) -> None:
    """Seconds and dates, clamped to five minutes; junk is as if it were not there."""
    assert retry_after(value, NOW) == expected


@given(st.text(max_size=60))
def test_no_retry_after_raises(value: str) -> None:
    """A header is the collector's to fill: whatever it says, a number in the bounds or nothing comes out."""
    found = retry_after(value, NOW)
    assert found is None or 0 <= found <= 300


def test_back_off_doubles_up_to_thirty_seconds_with_full_jitter() -> None:
    """The draw spreads a wait from nothing to the whole of it."""
    assert [backoff(attempt, 1.0) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff(5, 0.0) == 0.0
    assert backoff(10_000, 0.5) == 15.0


def test_a_wait_that_the_collector_asked_for_is_never_cut_short() -> None:
    """Jitter comes on top of it."""
    assert backoff(1, 0.0, asked=20.0) == 20.0
    assert 20.0 < backoff(1, 1.0, asked=20.0) <= 21.0


def test_pauses_double_from_one_to_fifteen_minutes() -> None:
    """401 and 402 are asked again slowly."""
    assert [pause(attempt) for attempt in range(1, 7)] == [60, 120, 240, 480, 900, 900]


def test_health_remembers_when_it_began_and_starts_over_when_the_kind_of_illness_changes() -> None:
    """The first failure's time stays; a refusal after failures pauses for the first step."""
    one = HEALTHY.failed(10.0, "down", 1.0)
    two = one.failed(11.0, "down", 1.0)
    assert (two.failures, two.since, two.ready_at) == (2, 10.0, 12.0)
    refused = two.refused(20.0, "401")
    assert (refused.failures, refused.since, refused.ready_at, refused.paused) == (1, 10.0, 80.0, True)
    assert refused.refused(80.0, "401").ready_at == 200.0


def test_an_answer_carries_the_tags_and_the_message_cut_short() -> None:
    """Both tags come with the answers to events."""
    headers = {"x-moesif-config-etag": "c1", "x-moesif-rules-tag": "r1", "retry-after": "3"}
    answer = read_answer(429, headers, b"x" * 5000, NOW)
    assert (answer.config_tag, answer.rules_tag, answer.retry_after, len(answer.message)) == ("c1", "r1", 3.0, 300)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=60), st.integers(1, 20), st.integers(10, 200))
def test_splitting_keeps_every_item_in_order_and_both_bounds(items: list[bytes], most: int, most_bytes: int) -> None:
    """Only an item that is too large by itself exceeds the bytes, and then it is alone."""
    groups = list(split(items, most, most_bytes))
    assert [item for group in groups for item in group] == items
    for group in groups:
        assert len(group) <= most
        assert len(Batch("events", group).body) <= most_bytes or len(group) == 1
        assert b"".join(Batch("events", group).pieces(most_bytes // 4)) == Batch("events", group).body


def test_large_items_of_a_batch_are_compressed_where_they_are() -> None:
    """A copy of each would cost a twentieth of compressing it."""
    items = (b"1", b"2" * 9, b"3" * 10, b"4", b"5" * 12, b"6" * 9, b"7")
    pieces = list(Batch("events", items).pieces(10))
    assert b"".join(pieces) == Batch("events", items).body
    assert [piece for piece in pieces if any(piece is item for item in items)] == [items[2], items[4]]
    assert list(Batch("events", ()).pieces()) == [b"[]"]


def test_halves_of_a_batch_are_the_batch() -> None:
    """Halving loses nothing and ends with single items."""
    batch = Batch("events", (b"1", b"2", b"3"))
    left, right = batch.halves()
    assert left.items + right.items == batch.items
    assert batch.body == b"[1,2,3]"
    assert batch.size == len(batch.body)
