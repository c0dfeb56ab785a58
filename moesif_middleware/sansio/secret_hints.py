"""Where the name of a secret may stand beside its value, as one RE2 pattern for each kind of text.

What matches says that there may be something to mask; what does not says that there is nothing. The names take nearly
all of such a pattern, and RE2 holds a limited number of the states that they make: so they stand once with all that
may follow them, and once behind all that may stand in front.
"""

from __future__ import annotations

from .secret_names import SecretNames
from .secret_pairs import NAMED, NAMED_MEMBER
from .secret_text import NAME, PART_START, TAG

# White space, also as JSON spells it in a text of JSON.
_GAP = rb"(?:\s|\\+[nrt])*"
# U+212A, the one letter beyond ASCII that is an ASCII letter in lower case, as which names are compared.
_KELVIN = rb"(?:\xe2\x84\xaa|\\u212[Aa])"
# What may stand behind the last word of a name, which letters would go on with.
_SIGNS = b"(?:[^A-Za-z\\s<>\"'=:&]|\\\\u[0-9A-Fa-f]{4})*"
# The rest of a JSON name, and the colon behind it.
_REST = b'(?:[^"\\\\]|\\\\.)*"\\s*:'


class SecretHints:
    """The name rules as hints. Each matches wherever there is a name with a value, or a pair of both."""

    __slots__ = ("json", "plain", "prose", "strings", "uri", "uris")

    def __init__(self, names: SecretNames) -> None:
        self._compose(names.stems(escaped=True), names.last_stems())

    def _compose(self, stem: bytes, last: bytes) -> None:
        word = b"(?:%s|%s)" % (stem, last)
        pairs = b"%s\\\\" % NAMED_MEMBER
        header = b"(?i:authorization|cookie)%s:" % _GAP
        in_front = b"(?:%s|<%s*)%s" % (b"|".join(NAMED), TAG, word)
        spelt, plain = _behind(b"(?:\\\\+[\"']|')"), _behind(b"\\\\*[\"']")
        others = (in_front, pairs, header, _KELVIN)
        self.strings = _any(b"%s(?:%s)" % (word, spelt), *others)
        """For the strings of JSON text, as it is spelt."""
        self.json = _any(
            b"%s(?:%s|%s)" % (stem, _REST, spelt),
            b'%s(?:[^A-Za-z"\\\\]*"\\s*:|%s)' % (last, spelt),
            b"\\\\.%s" % _REST,
            *others,
        )
        """For JSON text: the same, or anything under a secret name or under a name with an escape."""
        self.plain = _any(b"%s(?:%s)" % (word, plain), *others)
        """For plain text, such as a JSON string stands for."""
        self.uri = _any(b"%s(?:%s|[^=&?#]*=)" % (word, plain), *others)
        """For plain text and for a URI once it is decoded."""
        self.uris = _any(b"%s(?:%s|[^=&?#\\x00]*=)" % (word, plain), *others)
        """For many of these, each behind a zero byte."""
        ends = b"[ \\t]*(?:[=:]|%3[Dd])"
        tail = b"[^A-Za-z\\s<>\"'=:&]*"
        quoted = b"[^\"'\\\\<>=:\\r\\n]*\\\\*[\"']%s[=:]" % _GAP
        self.prose = _any(
            b"%s(?:%s|%s*%s)" % (stem, quoted, NAME, ends),
            b"%s(?:%s|%s%s)" % (last, quoted, tail, ends),
            b"<%s*(?:%s%s*|%s%s)(?:[\\s/][^<>]*)?>" % (TAG, stem, TAG, last, tail),
            b"(?:%s)%s" % (b"|".join(NAMED), word),
            pairs,
            PART_START,
        )
        """For text that is no JSON."""


def _behind(mark: bytes) -> bytes:
    """Return what follows a name that a string tells with its value. ``mark`` is how quotation marks are spelt."""
    quoted = b"(?:[^\"'\\\\<>=:]|\\\\+[bfnrtu/])*%s%s[:=]" % (mark, _GAP)
    bare = b"(?:%s*|%s)%s(?::?=|%%3[Dd]|:%s(?:%s|[0-9]))" % (NAME, _SIGNS, _GAP, _GAP, mark)
    return quoted + b"|" + bare


def _any(*patterns: bytes) -> bytes:
    return b"|".join(patterns)
