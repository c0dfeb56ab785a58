"""One search over the texts of many exchanges, for what each would otherwise be searched for on its own.

Each search of RE2 gives the interpreter's lock away, and beside a busy event loop it comes back only after about a
request: with some searches for each event the worker would fall behind a server under full load, however little there
is to do. Most texts hold nothing to mask, so that a search over all of them says so for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from . import jsontext
from .exchange import BodyBuffer, Exchange, Heads
from .masking import Masker
from .secret_values import Look
from .straight import heads_of

SEPARATOR = b"\0"
MOST_TEXTS = 512
"""Texts that are searched at once, at most."""
MOST_BYTES = 1_048_576
"""Bytes that are searched at once."""
MOST_BODY = 16_384
"""Bytes of a body that is searched with others; a larger one is looked at on its own, where no call counts."""
_PAUSE = 16
"""Texts that are left alone after something was found in one that was searched alone."""


class JointLook:
    """Notes in exchanges which of their texts hold nothing to mask. Used by one thread at a time."""

    __slots__ = ("_masker", "_sieves")

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        looks = masker.joint_looks()
        self._sieves = None if looks is None else (Sieve(looks[0]), Sieve(looks[1]))

    def over(self, exchanges: Iterable[Exchange]) -> None:
        """Look over what ``straight.encode`` would look at. May raise for what makes no event; nothing needs it."""
        if self._sieves is None:
            return
        found: list[tuple[Heads, frozenset[str]]] = []
        bodies: list[BodyBuffer] = []
        texts: list[bytes] = []
        documents: list[bytes] = []
        for exchange in exchanges:
            exchange.heads = heads = heads_of(exchange)
            route = () if exchange.route is None else (exchange.route,)
            unseen, text = self._masker.head_text(heads.uri, (heads.sent, heads.answered), route)
            if SEPARATOR not in text:
                found.append((heads, unseen))
                texts.append(text)
            for buffer, headers in ((exchange.request_body, heads.sent), (exchange.response_body, heads.answered)):
                data = _document(buffer, headers)
                if buffer is not None and data is not None:
                    bodies.append(buffer)
                    documents.append(data)
        for place in self._sieves[0].clean(texts):
            heads, unseen = found[place]
            heads.clean = unseen
        for place in self._sieves[1].clean(documents):
            bodies[place].clean = documents[place]


class Sieve:
    """Tells which texts are clean by searching many at once.

    How many follows what was found lately: something in one of them costs all of them another look, so that it pays
    as long as most are clean.
    """

    __slots__ = ("_look", "_most", "_pause")

    def __init__(self, look: Look) -> None:
        self._look = look
        self._most = MOST_TEXTS
        self._pause = 0

    def clean(self, texts: Sequence[bytes]) -> Iterator[int]:
        """Yield the places of texts that are known to be clean. They must have no zero byte."""
        start = 0
        while start < len(texts):
            if self._pause:
                self._pause -= 1
                start += 1
                continue
            stop, size = start, 0
            while stop < len(texts) and stop - start < self._most and size < MOST_BYTES:
                size += len(texts[stop])
                stop += 1
            if not self._look.finds(SEPARATOR + SEPARATOR.join(texts[start:stop])):
                self._most = min(self._most * 2, MOST_TEXTS)
                yield from range(start, stop)
            elif stop - start == 1:
                self._pause = _PAUSE
            else:
                self._most = max((stop - start) // 2, 1)
            start = stop


def _document(buffer: BodyBuffer | None, headers: dict[str, str]) -> bytes | None:
    """Return a body that is whole, small, and probably JSON as it stands; None for any other."""
    if buffer is None or not 0 < buffer.total <= min(buffer.limit, MOST_BODY) or "content-encoding" in headers:
        return None
    data = buffer.getvalue()
    return data if SEPARATOR not in data and jsontext.looks_like_json(data) else None
