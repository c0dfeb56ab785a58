"""One look over many exchanges: it says of each only what a look at that one alone would have said."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesif_middleware.sansio import jsontext, straight
from moesif_middleware.sansio.events import BuildOptions
from moesif_middleware.sansio.exchange import Exchange
from moesif_middleware.sansio.joint import MOST_TEXTS, SEPARATOR, JointLook, Sieve
from moesif_middleware.sansio.masking import compile_masking
from moesif_middleware.sansio.secret_values import Look
from tests.sansio.test_straight import MASKERS, SECRETS, TRANSACTION, buffer, by_way_of_the_event, exchanges, ordinary

MASKER = MASKERS["defaults"]
CLEAN = b'{"id": 7, "at": "2026-11-28T10:00:00Z", "of": "9f1c2d3e-0000-4000-8000-00000000abcd", "n": [1, {"x": null}]}'
DEEP = b'{"a": ' * 70 + b"1" + b"}" * 70
PIECES = (
    *(secret.encode() for secret in SECRETS), b"token", b"/auth/7", b"page=2", b"pin", b"=", b":", b'"', b"{", b"[",
    b"]", b"}", b"\\", b"u0070", b"\\u0070in", b"4111", b"1111111111111", b"4111111111111111", b"8", b"-", b".",
    b"1e400",
    b"Bearer ", b"https://u:", b"p@host", b"%70", b"eyJ", b"\xe2\x84\xaa", b" ", b"\n", b"key", b"Author",
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=6).map(b"".join)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
    | st.sampled_from(SECRETS),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(("a", "pin", "token", "author", "user", "k\\u0065y", "x y")), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
documents = (
    values.map(lambda value: json.dumps(value).encode())
    | st.sampled_from((DEEP, CLEAN, b'{"n": 1e400}', b'{"s": "1e400"}', b"[" * 64 + b"]" * 64, b"[" * 65 + b"]" * 65))
    | texts.map(lambda text: b'{"a": ' + text)
)  # fmt: skip


def looks() -> tuple[Look, Look]:
    found = MASKER.joint_looks()
    assert found is not None
    return found


JOINT = looks()


@given(st.lists(texts, max_size=12))
def test_heads_that_are_clean_together_are_clean_alone(found: list[bytes]):
    for place in Sieve(JOINT[0]).clean(found):
        assert not MASKER._uris.look.finds(found[place])


@given(st.lists(documents, max_size=12))
def test_documents_that_are_clean_together_are_clean_and_shallow_alone(found: list[bytes]):
    """What is no JSON may stand among them; of that nothing is said."""
    assert MASKER.look is not None
    for place in Sieve(JOINT[1]).clean(found):
        data = found[place]
        assert not MASKER._json.finds(data)
        if data[:1] in (b"{", b"[") and jsontext.outline(data) is not None:
            assert not MASKER.look.finds(data)


@pytest.mark.parametrize("name", MASKERS)
@given(found=st.lists(exchanges(), max_size=8))
def test_an_event_has_the_same_bytes_with_a_joint_look(name: str, found: list[Exchange]):
    masker = MASKERS[name]
    options = BuildOptions(look=masker.look)
    expected = [by_way_of_the_event(made, options, masker) for made in found]
    JointLook(masker).over(found)
    for made, whole in zip(found, expected, strict=True):
        encoded = straight.encode(made, options, masker, TRANSACTION)
        assert encoded in (None, whole)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every text that is searched for what must be masked."""
    searched: list[bytes] = []
    finds = Look.finds
    monkeypatch.setattr(Look, "finds", lambda look, data: searched.append(data) or finds(look, data))
    return searched


def many(count: int, body: Callable[[int], bytes]) -> list[Exchange]:
    return [
        ordinary(request_body=buffer(body(number), 9000), response_body=buffer(body(number), 9000))
        for number in range(count)
    ]


def test_clean_exchanges_take_few_searches(searches: list[bytes]):
    """Each search gives the interpreter's lock away, so that a busy event loop would leave the worker behind."""
    masker = compile_masking()
    options, joint = BuildOptions(look=masker.look), JointLook(masker)
    found = many(64, lambda number: b'{"number": %d, "name": "some"}' % number + b" " * (number % 2 * 1200))
    joint.over(found)
    together = len(searches)
    for made in found:
        assert straight.encode(made, options, masker, TRANSACTION) is not None
    assert together <= 6
    assert len(searches) == together


def test_a_secret_in_one_costs_its_neighbours_a_look_and_no_more(searches: list[bytes]):
    masker = compile_masking()
    options, joint = BuildOptions(look=masker.look), JointLook(masker)
    found = many(64, lambda number: b'{"pin": "12345678"}' if number == 40 else b'{"number": %d}' % number)
    joint.over(found)
    for made in found:
        encoded = straight.encode(made, options, masker, TRANSACTION)
        assert encoded is not None
        assert b"12345678" not in encoded
    assert b'{"number": 41}' in searches or b'{"number": 39}' in searches
    assert len(searches) < 2 * 64 + 12


def test_where_all_have_secrets_few_are_looked_at_in_vain(searches: list[bytes]):
    joint = JointLook(compile_masking())
    for _ in range(10):
        joint.over(many(64, lambda number: b'{"pin": "%d"}' % number))
    bodies = [text for text in searches if b"pin" in text]
    assert len(bodies) < 10 * 128 / 8
    # Once they are clean again, all are looked at together after a while.
    for _ in range(10):
        joint.over(many(64, lambda number: b'{"number": %d}' % number))
    joint.over(many(MOST_TEXTS // 2, lambda number: b'{"number": %d}' % number))
    assert searches[-1].count(b"\0") == MOST_TEXTS


def test_a_name_in_one_head_has_nothing_to_do_with_the_equals_sign_of_the_next():
    assert list(Sieve(JOINT[0]).clean([b"\n/auth/7", b"\n/items?page=2"] * 4)) == list(range(8))


@pytest.mark.parametrize("odd", [b'{"n": 1e400}', DEEP, b'{"a": "\0"}', b'{"pin": 1}'])
def test_what_is_not_clean_is_never_noted_so(odd: bytes):
    found = many(8, lambda number: odd if number == 3 else CLEAN)
    JointLook(MASKER).over(found)
    assert found[3].request_body is not None
    assert found[3].request_body.clean is None


def test_bodies_that_are_cut_compressed_or_large_are_left_alone():
    made = ordinary(
        request_body=buffer(CLEAN * 3, len(CLEAN)), response_body=buffer(b'["%b"]' % (b"x" * 20_000), 99_999)
    )
    packed = ordinary(response_headers=[(b"content-encoding", b"br")], response_body=buffer(CLEAN, 9000))
    JointLook(MASKER).over([made, packed])
    for each in (made.request_body, made.response_body, packed.response_body):
        assert each is not None
        assert each.clean is None


def test_a_body_in_pieces_is_joined_once():
    made = ordinary(request_body=None, response_body=buffer(b'{"number":', 9000))
    assert made.response_body is not None
    made.response_body.feed(b" 7}")
    JointLook(MASKER).over([made])
    assert made.response_body.clean is made.response_body.getvalue()


def test_what_one_document_leaves_open_costs_those_behind_it_nothing():
    """A client may send as many as it likes that begin a string or a list and end there."""
    dice = random.Random(1)
    alphabet = b'abcxyz 0123,.;{}[]\\"'
    found = [b'{"a":"' + bytes(dice.choices(alphabet, k=300)) for _ in range(256)]
    joined = SEPARATOR + SEPARATOR.join(found)

    def took(work: Callable[[], object]) -> float:
        started = time.thread_time()
        work()
        return time.thread_time() - started

    alone = min(took(lambda: [MASKER._json.finds(text) for text in found]) for _ in range(5))
    together = min(took(lambda: JOINT[1].finds(joined)) for _ in range(5))
    # Once the states of the search did not fit any more, it took 2 700 ns a byte, and the looks at each 6.
    assert together < 8 * alone
