"""Who called: the client's address from proxy headers, user and company from a credential or a header.

Nothing is verified here: an address or an id is what the request says of itself, read before anything is masked. No
function raises, whatever the headers hold.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import orjson

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The order of the deployed clients (collector reference, "The event", ip_address).
_PROXY_HEADERS = (
    "x-client-ip",
    "x-forwarded-for",
    "cf-connecting-ip",
    "true-client-ip",
    "x-real-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "forwarded-for",
    "forwarded",
)
_PROXY_NAMES = frozenset(_PROXY_HEADERS)
# Those to which each proxy adds the address it was called from come first: they can be checked.
_CHAINS = ("x-forwarded-for", "forwarded")
_SINGLE = tuple(name for name in _PROXY_HEADERS if name not in _CHAINS)

_MOST_HOPS = 64
_LONGEST_NODE = 64
_LONGEST_TOKEN = 16_384
_LONGEST_ID = 1024


def client_address(headers: Mapping[str, str], peer: str | None, trusted: tuple[str, ...] | None) -> str | None:
    """Return the client's address as text, None when there is none.

    ``headers`` have lower-case names. With ``trusted`` None every proxy header is believed, as the deployed clients do.
    Otherwise it holds addresses and networks such as ``10.0.0.0/8``: headers count only when the peer is one of them,
    and a chain of proxies is followed from its end to the first address that is not.
    """
    if trusted is None:
        claimed = None if _PROXY_NAMES.isdisjoint(headers) else _first_claimed(headers)
        return claimed or _spelling(peer or "")
    direct = _address(peer or "")
    found = None
    if direct is not None and _is_trusted(direct, _networks(trusted)):
        found = _first_untrusted(headers, _networks(trusted))
    found = found or direct
    return None if found is None else str(found)


def _first_claimed(headers: Mapping[str, str]) -> str | None:
    for name in _PROXY_HEADERS:
        value = headers.get(name)
        if value:
            for node in _nodes(value.split(",", _MOST_HOPS)[:_MOST_HOPS]):
                if (address := _spelling(node)) is not None:
                    return address
    return None


def _first_untrusted(headers: Mapping[str, str], networks: tuple[Network, ...]) -> Address | None:
    for name in _CHAINS:
        furthest: Address | None = None
        for node in _nodes(reversed(headers.get(name, "").rsplit(",", _MOST_HOPS)[-_MOST_HOPS:])):
            address = _address(node)
            if address is None:
                continue
            furthest = address
            if not _is_trusted(address, networks):
                break
        if furthest is not None:
            return furthest
    for name in _SINGLE:
        for node in _nodes(headers.get(name, "").split(",", 1)[:1]):
            if (address := _address(node)) is not None:
                return address
    return None


def _nodes(elements: Iterable[str]) -> Iterator[str]:
    """Yield the nodes of a list of addresses, or of RFC 7239 elements, of which ``for`` is the one that counts."""
    for element in elements:
        for pair in element.split(";", 8)[:8]:
            name, equals, value = pair.partition("=")
            if not equals:
                yield name
            elif name.strip().lower() == "for":
                yield value


def _address(node: str) -> Address | None:
    """Read an address with or without brackets, quotation marks, port and zone; None for anything else."""
    if len(node) > _LONGEST_NODE:
        return None
    text = node.strip().strip('"').strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        # RFC 7239 allows "unknown" and obfuscated names, which say nothing.
        return None
    # A dual-stack socket writes IPv4 peers so.
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=64)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    found: list[Network] = []
    for entry in trusted:
        try:
            found.append(ip_network(entry.strip(), strict=False))
        except ValueError:
            # The settings refuse such an entry; here it trusts nobody.
            continue
    return tuple(found)


def _spelling(node: str) -> str | None:
    """Return how an address is written, None for what is none; those of late are remembered."""
    return _spelled(node) if len(node) <= _LONGEST_NODE else None


@lru_cache(maxsize=1024)
def _spelled(node: str) -> str | None:
    address = _address(node)
    return None if address is None else str(address)


def _is_trusted(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def user_from_authorization(
    headers: Mapping[str, str], header_names: tuple[str, ...] = ("authorization",), claim: str = "sub"
) -> str | None:
    """Return the user's id that a credential names: a claim of a JSON Web Token, or the user name of Basic.

    The first of ``header_names`` (lower case; an entry may be a comma list) that is present counts, with or without
    ``Bearer``. A Basic credential without a password is an API key, which is no id.
    """
    credential = _credential(headers, header_names)
    if not credential:
        return None
    scheme, _, token = credential.partition(" ")
    if scheme.lower() == "basic":
        return _basic_user(token.strip())
    return _claim(_token_claims(token.strip() if scheme.lower() == "bearer" else credential), claim)


def company_from(
    headers: Mapping[str, str],
    header: str | None = None,
    claim: str | None = None,
    header_names: tuple[str, ...] = ("authorization",),
) -> str | None:
    """Return the company's id from a header, else from a claim of the token in one of ``header_names``."""
    if header:
        named = _id(headers.get(header.lower()))
        if named is not None:
            return named
    if not claim:
        return None
    credential = _credential(headers, header_names)
    scheme, _, token = credential.partition(" ")
    return _claim(_token_claims(token.strip() if scheme.lower() == "bearer" else credential), claim)


def _credential(headers: Mapping[str, str], header_names: tuple[str, ...]) -> str:
    for name in credential_names(header_names):
        value = headers.get(name)
        if value:
            # A header that was sent twice was joined with a comma, which no credential holds.
            return value.partition(",")[0].strip()
    return ""


@lru_cache(maxsize=64)
def credential_names(header_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the headers that may hold a credential: each entry may be a comma list."""
    return tuple(name.strip().lower() for entry in header_names for name in entry.split(","))


def _decode(text: str) -> bytes:
    """Decode base64 in either alphabet, with or without padding; empty when it is none."""
    if len(text) > _LONGEST_TOKEN:
        return b""
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""


def _basic_user(token: str) -> str | None:
    decoded = _decode(token)
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        text = decoded.decode("latin-1")
    name, _, password = text.partition(":")
    return _id(name) if password else None


def _token_claims(token: str) -> Any:
    """Return the claims of a JSON Web Token (RFC 7519) without checking its signature, None when it is none."""
    parts = token.split(".", 3)
    if len(parts) != 3:
        return None
    try:
        return orjson.loads(_decode(parts[1]))
    except ValueError:
        return None


def _claim(claims: Any, name: str) -> str | None:
    """Return a claim as an id; a dotted name that is no claim itself goes into nested claims."""
    if not isinstance(claims, dict):
        return None
    if name not in claims:
        for part in name.split("."):
            claims = claims.get(part) if isinstance(claims, dict) else None
        return _id(claims)
    return _id(claims[name])


def _id(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    return text if 0 < len(text) <= _LONGEST_ID else None
