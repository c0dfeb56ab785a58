"""Header maps: whatever pairs come, names are in lower case; odd names of a stranger cost others next to nothing."""

from __future__ import annotations

from typing import Any

import pytest

from moesif_middleware.sansio.headers import HeaderNames, join_headers


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], {}),
        ([(b"Host", b"a"), ("Accept", "*/*")], {"host": "a", "accept": "*/*"}),
        ([(b"X", b"1"), ("x", "2"), ("X", b"3")], {"x": "1, 2, 3"}),
        ([("Set-Cookie", "a=1"), (b"set-cookie", b"b=2")], {"set-cookie": "a=1, b=2"}),
        ([(b"cookie", b"a=1"), (b"Cookie", b"b=2")], {"cookie": "a=1; b=2"}),
        ([(b"x", "ö".encode()), (b"y", b"\xf6")], {"x": "ö", "y": "ö"}),
        ([("Ö".encode(), b"1"), (b"\xd6", b"2")], {"ö": "1, 2"}),
        ([(bytearray(b"X"), memoryview(b"1")), (5, None)], {"x": "1", "5": "None"}),
        ([("", "")], {"": ""}),
        ([(b"X" * 100, b"1")], {"x" * 100: "1"}),
    ],
)
@pytest.mark.parametrize("times", [1, 2], ids=["names not met before", "known names"])
def test_pairs_of_any_kind_become_a_map_of_text(pairs: list[Any], expected: dict[str, str], times: int) -> None:
    for _ in range(times):
        assert join_headers(iter(pairs)) == expected


def test_names_from_outside_are_remembered_within_a_bound_and_keep_the_usual_ones_out_for_a_moment_only() -> None:
    worked_out: list[str] = []

    def read(spelt: str) -> str:
        worked_out.append(spelt)
        return spelt.lower()

    names = HeaderNames(read)
    for number in range(10_000):
        assert names.of(f"X-Odd-{number}") == f"x-odd-{number}"
        assert names.of("Host") == "host"
        assert len(names.known) <= 1_024
    assert worked_out.count("Host") <= 10
    names.of("X" * 65)
    assert "X" * 65 not in names.known
