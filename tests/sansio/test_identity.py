"""Who called: client addresses from proxy headers, users and companies from credentials."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesif_middleware.sansio.identity import client_address, company_from, user_from_authorization

PROXIES = ("10.0.0.0/8", "fd00::/8", "192.0.2.7")


@pytest.mark.parametrize(
    ("headers", "peer", "expected"),
    [
        ({}, "192.0.2.1", "192.0.2.1"),
        ({}, None, None),
        ({}, "", None),
        ({}, "testclient", None),
        ({}, "2001:DB8:0::1", "2001:db8::1"),
        ({}, "::ffff:192.0.2.1", "192.0.2.1"),
        ({}, "fe80::1%eth0", "fe80::1"),
        ({"x-client-ip": "1.1.1.1", "x-forwarded-for": "2.2.2.2"}, "9.9.9.9", "1.1.1.1"),
        ({"x-forwarded-for": "2.2.2.2, 3.3.3.3", "cf-connecting-ip": "4.4.4.4"}, "9.9.9.9", "2.2.2.2"),
        ({"x-forwarded-for": "unknown, 3.3.3.3:8080"}, "9.9.9.9", "3.3.3.3"),
        ({"x-forwarded-for": "not an address"}, "9.9.9.9", "9.9.9.9"),
        ({"x-forwarded-for": ""}, "9.9.9.9", "9.9.9.9"),
        ({"x-client-ip": "garbage", "x-real-ip": "5.5.5.5"}, "9.9.9.9", "5.5.5.5"),
        ({"cf-connecting-ip": "4.4.4.4", "true-client-ip": "5.5.5.5"}, "9.9.9.9", "4.4.4.4"),
        ({"true-client-ip": "5.5.5.5", "x-real-ip": "6.6.6.6"}, "9.9.9.9", "5.5.5.5"),
        ({"x-real-ip": "6.6.6.6", "x-cluster-client-ip": "7.7.7.7"}, "9.9.9.9", "6.6.6.6"),
        ({"x-cluster-client-ip": "7.7.7.7", "x-forwarded": "8.8.8.8"}, "9.9.9.9", "7.7.7.7"),
        ({"x-forwarded": "8.8.8.8", "forwarded-for": "1.2.3.4"}, "9.9.9.9", "8.8.8.8"),
        ({"x-forwarded": "for=8.8.8.8;proto=https"}, "9.9.9.9", "8.8.8.8"),
        ({"forwarded-for": "1.2.3.4", "forwarded": "for=4.3.2.1"}, "9.9.9.9", "1.2.3.4"),
        ({"forwarded": "for=4.3.2.1"}, "9.9.9.9", "4.3.2.1"),
        ({"forwarded": 'proto=http;For="[2001:db8::17]:4711";by=203.0.113.43'}, "9.9.9.9", "2001:db8::17"),
        ({"forwarded": 'for="192.0.2.60:80", for=1.1.1.1'}, "9.9.9.9", "192.0.2.60"),
        ({"forwarded": 'for=_hidden, for=unknown, for="_SEVKISEK", for=1.1.1.1'}, "9.9.9.9", "1.1.1.1"),
        ({"forwarded": "by=1.1.1.1;host=x"}, "9.9.9.9", "9.9.9.9"),
        ({"forwarded": 'for="[2001:db8::17'}, "9.9.9.9", "2001:db8::17"),
        ({"x-forwarded-for": "[2001:db8::1]:443"}, None, "2001:db8::1"),
        ({"x-forwarded-for": "2001:db8::1"}, None, "2001:db8::1"),
        ({"x-forwarded-for": " , ,3.3.3.3"}, None, "3.3.3.3"),
    ],
)
def test_every_proxy_header_is_believed_without_a_list(
    headers: dict[str, str], peer: str | None, expected: str
) -> None:
    """Without trusted proxies the first valid address counts, in the order of the deployed clients, else the peer."""
    assert client_address(headers, peer, None) == expected


@pytest.mark.parametrize(
    ("headers", "peer", "expected"),
    [
        ({"x-forwarded-for": "1.1.1.1"}, "9.9.9.9", "9.9.9.9"),
        ({"x-forwarded-for": "1.1.1.1"}, None, None),
        ({"x-forwarded-for": "1.1.1.1"}, "10.0.0.1", "1.1.1.1"),
        ({"x-forwarded-for": "1.1.1.1"}, "::ffff:10.0.0.1", "1.1.1.1"),
        ({"x-forwarded-for": "1.1.1.1"}, "fd00::2", "1.1.1.1"),
        ({"x-forwarded-for": "1.1.1.1"}, "192.0.2.7", "1.1.1.1"),
        ({"x-forwarded-for": "6.6.6.6, 1.1.1.1"}, "10.0.0.1", "1.1.1.1"),
        ({"x-forwarded-for": "6.6.6.6, 1.1.1.1, 10.2.2.2, 10.3.3.3"}, "10.0.0.1", "1.1.1.1"),
        ({"x-forwarded-for": "10.4.4.4, 10.2.2.2"}, "10.0.0.1", "10.4.4.4"),
        ({"x-forwarded-for": "1.1.1.1, unknown"}, "10.0.0.1", "1.1.1.1"),
        ({"forwarded": 'for=6.6.6.6, for="[2001:db8::1]:80", for=10.2.2.2'}, "10.0.0.1", "2001:db8::1"),
        ({"x-client-ip": "6.6.6.6", "x-forwarded-for": "1.1.1.1"}, "10.0.0.1", "1.1.1.1"),
        ({"x-real-ip": "1.1.1.1"}, "10.0.0.1", "1.1.1.1"),
        ({"x-real-ip": "1.1.1.1"}, "9.9.9.9", "9.9.9.9"),
        ({}, "10.0.0.1", "10.0.0.1"),
    ],
)
def test_a_chain_is_followed_past_the_trusted(headers: dict[str, str], peer: str | None, expected: str) -> None:
    """With a list, headers count only from a trusted peer, and nobody left of the first stranger is believed."""
    assert client_address(headers, peer, PROXIES) == expected


def test_an_empty_list_trusts_nobody() -> None:
    """An empty list is not the same as none."""
    assert client_address({"x-forwarded-for": "1.1.1.1"}, "9.9.9.9", ()) == "9.9.9.9"
    assert client_address({"x-forwarded-for": "1.1.1.1"}, "9.9.9.9", ("no network",)) == "9.9.9.9"


def test_a_long_chain_costs_no_more_than_its_end() -> None:
    """A header of a megabyte is not read to its other end."""
    chain = "6.6.6.6, " * 100_000 + "1.1.1.1, 10.0.0.2"
    assert client_address({"x-forwarded-for": chain}, "10.0.0.1", PROXIES) == "1.1.1.1"
    assert client_address({"x-forwarded-for": "x, " * 100_000 + "1.1.1.1"}, "9.9.9.9", None) == "9.9.9.9"


def token(claims: Any) -> str:
    def part(value: Any) -> str:
        return urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}.c2ln"


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


# "??>" and "~~~" need the two characters in which base64url differs from base64.
TRICKY = "??>~~~ÿé"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"Bearer {token({'sub': 'ann'})}", "ann"),
        (f"bearer   {token({'sub': 'ann'})}", "ann"),
        (token({"sub": "ann"}), "ann"),
        (f"Bearer {token({'sub': TRICKY})}", TRICKY),
        (f"Bearer {token({'sub': 12345678901234567})}", "12345678901234567"),
        (f"Bearer {token({'sub': True})}", None),
        (f"Bearer {token({'sub': None})}", None),
        (f"Bearer {token({'sub': ['a']})}", None),
        (f"Bearer {token({'sub': '  '})}", None),
        (f"Bearer {token({'sub': 'x' * 1025})}", None),
        (f"Bearer {token({'other': 'x'})}", None),
        (f"Bearer {token(['sub'])}", None),
        ("Bearer opaque", None),
        ("Bearer a.b.c", None),
        ("Bearer a.b.c.d.e", None),
        ("Bearer ..", None),
        ("Bearer é.é.é", None),
        ("Bearer", None),
        ("", None),
        (basic("ann:hunter2"), "ann"),
        (basic("ann:hunter2").replace("Basic", "BASIC"), "ann"),
        (basic("ann:a:b"), "ann"),
        (basic("änn:x"), "änn"),
        (basic(":hunter2"), None),
        (basic("sk_live_key:"), None),
        (basic("sk_live_key"), None),
        ("Basic " + b64encode("änn:x".encode("latin-1")).decode(), "änn"),
        ("Basic !!!", None),
        ("Basic", None),
        ("Digest username=ann", None),
        (f"Bearer {token({'sub': 'ann'})}, Bearer {token({'sub': 'bob'})}", "ann"),
    ],
)
def test_user_from_authorization(value: str, expected: str | None) -> None:
    """The subject of a token, signed or not, or the user name of Basic, as text; anything else is nobody."""
    assert user_from_authorization({"authorization": value}) == expected


def test_the_first_header_that_is_present_counts() -> None:
    """Header names may be several, or one comma list as in the old settings."""
    headers = {"x-second": token({"sub": "second"}), "x-third": token({"sub": "third"})}
    assert user_from_authorization(headers, ("x-first", "x-second", "x-third")) == "second"
    assert user_from_authorization(headers, ("X-First, X-Third,x-second",)) == "third"
    assert user_from_authorization(headers) is None


def test_a_claim_by_name_or_path() -> None:
    """A claim may be any, also one whose name has dots, or one inside another."""
    headers = {"authorization": f"Bearer {token({'uid': 7, 'https://x.example/id': 'a', 'user': {'id': 'b'}})}"}
    assert user_from_authorization(headers, claim="uid") == "7"
    assert user_from_authorization(headers, claim="https://x.example/id") == "a"
    assert user_from_authorization(headers, claim="user.id") == "b"
    assert user_from_authorization(headers, claim="user.name") is None
    assert user_from_authorization(headers, claim="uid.x") is None


def test_a_token_of_a_megabyte_is_not_read() -> None:
    """The size of what is decoded is bounded."""
    assert user_from_authorization({"authorization": f"Bearer {token({'sub': 'a', 'x': 'y' * 10**6})}"}) is None


def test_company() -> None:
    """The company comes from the header, else from the claim."""
    headers = {"x-company": " acme ", "authorization": f"Bearer {token({'org': 5})}"}
    assert company_from(headers, header="X-Company") == "acme"
    assert company_from(headers, claim="org") == "5"
    assert company_from(headers, header="x-company", claim="org") == "acme"
    assert company_from(headers, header="x-other", claim="org") == "5"
    assert company_from(headers) is None
    assert company_from({"x-t": token({"org": "z"})}, claim="org", header_names=("x-t",)) == "z"


HEADER_NAMES = st.sampled_from(["authorization", "x-forwarded-for", "forwarded", "x-client-ip", "x-real-ip"])
NODES = st.sampled_from(
    ["1.2.3.4", "[::1]:80", "for=", '"', ",", ";", "=", "unknown", "Bearer ", "Basic ", ".", "e30", "%"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(HEADER_NAMES, st.lists(NODES | st.text(max_size=4), max_size=8).map("".join)),
    st.none() | st.text(max_size=8) | NODES,
    st.none() | st.lists(st.text(max_size=6) | st.just("0.0.0.0/0"), max_size=2).map(tuple),
)
def test_nothing_raises(headers: dict[str, str], peer: str | None, trusted: tuple[str, ...] | None) -> None:
    """Whatever the headers hold, there is an answer."""
    assert isinstance(client_address(headers, peer, trusted), str | None)
    assert isinstance(user_from_authorization(headers), str | None)
    assert isinstance(company_from(headers, "x-real-ip", "sub"), str | None)
