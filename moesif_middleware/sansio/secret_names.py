"""Which names mark a secret: header, query, form and JSON names are split into words and compared as words.

``api_key``, ``apiKey``, ``X-API-Key``, ``API.KEY`` and ``apikey`` are one name; ``author``, ``monkey`` and
``tokens_used`` are none. The longest phrase that starts at a word decides about the words it spans, so every rule can
be switched off on its own: without ``client_secret`` the name ``client_secret`` stays, although ``secret`` is still
looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import Any
from urllib.parse import unquote

from .markers import MARKER
from .secret_values import linear

# A space is a place where the words may also be written as one.
PHRASES: dict[str, tuple[str, ...]] = {
    "password": ("pass word",),
    "passwd": ("pass wd",),
    "pwd": ("pwd",),
    "passphrase": ("pass phrase",),
    "secret": ("secret",),
    "client_secret": ("client secret",),
    "api_key": ("api key",),
    "access_key": ("access key", "access key id", "secret access key"),
    "private_key": ("private key",),
    "secret_key": ("secret key",),
    "access_token": ("access token",),
    "refresh_token": ("refresh token",),
    "id_token": ("id token",),
    "auth_token": ("auth token",),
    "session_token": ("session token",),
    "csrf": ("csrf", "csrf token", "csrf middleware token"),
    "xsrf": ("xsrf", "xsrf token"),
    "authorization": ("authorization",),
    "proxy_authorization": ("proxy authorization",),
    "credential": ("credential",),
    "cookie": ("cookie",),
    "set_cookie": ("set cookie",),
    "session_id": ("session id",),
    "sid": ("sid",),
    "jsessionid": ("j session id",),
    "phpsessid": ("php sess id",),
    "jwt": ("jwt",),
    "otp": ("otp",),
    "pin": ("pin",),
    "cvv": ("cvv",),
    "cvc": ("cvc",),
    "ccv": ("ccv",),
    "card_number": ("card number", "credit card number", "debit card number"),
    "pan": ("pan",),
    "iban": ("iban",),
    "account_number": ("account number", "bank account number"),
    "routing_number": ("routing number",),
    "ssn": ("ssn",),
    "social_security": ("social security", "social security number"),
    "signature": ("signature",),
    "sig": ("sig",),
    "x_amz_signature": ("x amz signature",),
    "x_goog_signature": ("x goog signature",),
    "aws_access_key_id": ("aws access key id",),
    "dsn": ("dsn",),
    "connection_string": ("connection string",),
    "token": ("token",),
    "auth": ("auth",),
}

# Too ordinary anywhere else: ``token_type`` and ``auth_method`` say nothing secret.
LAST_WORD_ONLY = frozenset({"token", "auth"})

# "pins" and "pans" are things one collects and cooks with, "tokens" are counted.
_NO_PLURAL = LAST_WORD_ONLY | {"pin", "pan", "sig", "sid"}

# Long enough to mean nothing else at the end of a word that was written together, such as ``dbpassword``.
_ENDINGS = (
    ("password", "password"),
    ("passwd", "passwd"),
    ("passphrase", "passphrase"),
    ("secret", "secret"),
    ("apikey", "api_key"),
    ("accesstoken", "access_token"),
    ("privatekey", "private_key"),
)

HARMLESS = ("next page token", "page token", "continuation token", "password changed at")

HEADERS: dict[str, tuple[str, ...]] = {
    "www_authenticate": ("www-authenticate",),
    "authentication_info": ("authentication-info",),
    "x_api_token": ("x-api-token",),
    "x_auth_token": ("x-auth-token",),
    "x_access_token": ("x-access-token",),
    "x_refresh_token": ("x-refresh-token",),
    "x_id_token": ("x-id-token",),
    "x_session_token": ("x-session-token",),
    "x_csrf_token": ("x-csrf-token",),
    "x_xsrf_token": ("x-xsrf-token",),
    "x_amz_security_token": ("x-amz-security-token",),
    "x_goog_iap_jwt_assertion": ("x-goog-iap-jwt-assertion",),
    "x_ms_client_principal": ("x-ms-client-principal",),
    "x_ms_token_aad": ("x-ms-token-aad-*",),
    "x_forwarded_access_token": ("x-forwarded-access-token",),
    "x_forwarded_client_cert": ("x-forwarded-client-cert",),
    "ssl_client_cert": ("ssl-client-cert",),
    "x_vault_token": ("x-vault-token",),
    "private_token": ("private-token",),
    "job_token": ("job-token",),
    "x_hub_signature": ("x-hub-signature", "x-hub-signature-256"),
    "x_slack_signature": ("x-slack-signature",),
    "stripe_signature": ("stripe-signature",),
    "x_twilio_signature": ("x-twilio-signature",),
    "x_shopify_access_token": ("x-shopify-access-token",),
    "dd_api_key": ("dd-api-key",),
    "x_hasura_admin_secret": ("x-hasura-admin-secret",),
    "x_amzn_oidc": ("x-amzn-oidc-*",),
    "cf_access_jwt_assertion": ("cf-access-jwt-assertion",),
    "cf_access_client_secret": ("cf-access-client-secret",),
    "dpop": ("dpop",),
    "x_functions_key": ("x-functions-key",),
    "ocp_apim_subscription_key": ("ocp-apim-subscription-key",),
    "x_rapidapi_key": ("x-rapidapi-key",),
    "x_moesif_application_id": ("x-moesif-application-id",),
}

_CAMEL = re.compile(r"[A-Z]+s?(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+")
_PLAIN = re.compile(r"[^\W\d_]+")
# Up to so many letters a word is also found inside ordinary ones: "pin" in "shipping".
_SHORT = 5
_WORD_END = r"(?:\b|[0-9A-Z_])"
_ESCAPES = r"|\\[bfnrt]|\\u[0-9A-Fa-f]{4}"
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_NOTHING = r"[^\x00-\xff]"
_MARKED = re.compile(re.escape(MARKER) + r"\w+\]")
_CACHE_NAMES = 4096
_CACHE_LENGTH = 128
_UNKNOWN = ""
"""What no rule is called."""


def words(name: str) -> tuple[str, ...]:
    """Split a name into lower-case words at everything that is no letter, and where camelCase begins a word."""
    return tuple(word.lower() for word in _CAMEL.findall(name))


def name_text(data: bytes) -> str:
    """Return a name that was found in bytes of some superset of ASCII, UTF-8 if it can be."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def spellings(phrase: str) -> Iterator[tuple[str, ...]]:
    """Yield a phrase in words, and with each choice of neighbouring words written as one."""
    parts = phrase.split()
    places = range(1, len(parts))
    for count in range(len(parts)):
        for cuts in combinations(places, count):
            edges = (0, *cuts, len(parts))
            yield tuple("".join(parts[a:b]) for a, b in pairwise(edges))


class SecretNames:
    """The name rules that are on, compiled. Immutable but for a bounded cache of the names that were asked for."""

    __slots__ = (
        "_cache", "_endings", "_exact", "_header_cache", "_headers", "_longest", "_phrases", "_prefixes", "exact",
    )  # fmt: skip

    def __init__(
        self, off: frozenset[str], extra: Iterable[str] = (), headers: Iterable[str] = (), exact: Iterable[str] = ()
    ) -> None:
        """Compile the defaults without ``off``, then ``extra`` phrases, whole ``headers`` and ``exact`` query names."""
        self._phrases: dict[tuple[str, ...], tuple[str | None, bool]] = {}
        for rule, phrases in PHRASES.items():
            for phrase in phrases:
                self._add(phrase, None if rule in off else rule, last=rule in LAST_WORD_ONLY)
                if rule not in _NO_PLURAL:
                    self._add(phrase + "s", None if rule in off else rule)
        for phrase in HARMLESS:
            self._add(phrase, None)
        for name in extra:
            self._add(" ".join(words(name)), "_".join(words(name)))
        self._longest = max(len(phrase) for phrase in self._phrases)
        self._endings = tuple((ending, rule) for ending, rule in _ENDINGS if rule not in off)
        self._headers: dict[str, str | None] = {}
        self._prefixes: list[tuple[str, str | None]] = []
        for rule, names in HEADERS.items():
            for name in names:
                self._add_header(name, None if rule in off else rule)
        for name in headers:
            self._add_header(name.lower(), "header")
        self._exact = {name.lower(): "query" for name in exact}
        self.exact = bool(self._exact)
        """Whether there are query names of the user's own, which no pattern stands for."""
        self._cache: dict[str, str | None] = {}
        self._header_cache: dict[str, str | None] = {}

    def _add(self, phrase: str, rule: str | None, *, last: bool = False) -> None:
        for spelling in spellings(phrase):
            self._phrases[spelling] = (rule, last)

    def _add_header(self, name: str, rule: str | None) -> None:
        if name.endswith("*"):
            self._prefixes.append((name[:-1], rule))
        else:
            self._headers[name] = rule

    def stems(self, *, escaped: bool = False) -> bytes:
        """Return an RE2 pattern for what every name of a secret holds: long words anywhere, short ones as words.

        It also matches names that are none; ``rule`` tells them apart. ``escaped`` is for text that may be JSON as it
        is spelt, in which a word may stand behind an escape that ends in a letter.
        """
        chosen = {phrase for phrase, (rule, last) in self._phrases.items() if rule and not last}
        single = {phrase[0] for phrase in chosen if len(phrase) == 1}
        anywhere = [re.escape(ending) for ending, _ in self._endings]
        short: list[str] = []
        for phrase in sorted(chosen):
            if len(phrase) == 1 and len(phrase[0]) <= _SHORT and phrase[0].isascii():
                short.append(phrase[0])
            elif len(phrase) == 1 or not single.intersection(phrase):
                anywhere.append(r"[^A-Za-z\"]*".join(map(_pattern, phrase)))
        parts = [f"(?i:{'|'.join(dict.fromkeys(anywhere))})"] if anywhere else []
        if short:
            parts += [
                rf"(?:\b|[0-9_]|%[0-9A-Fa-f]{{2}}{_ESCAPES if escaped else ''})(?i:{'|'.join(short)}){_WORD_END}",
                f"(?:{'|'.join(word.capitalize() for word in short)}){_WORD_END}",
            ]
            # "userSSN", and "userSSNs" as well.
            acronyms = [word.upper() for word in short] + [f"{word[:-1].upper()}s" for word in short if word[-1] == "s"]
            parts.append(f"[a-z](?:{'|'.join(dict.fromkeys(acronyms))}){_WORD_END}")
        return f"(?:{'|'.join(parts) or _NOTHING})".encode()

    def binary_names(self) -> Any:
        """Return a compiled RE2 pattern for names in binary records: long words without a sign of text behind them."""
        chosen = sorted(phrase for phrase, (rule, last) in self._phrases.items() if rule and not last)
        long = (phrase for phrase in chosen if sum(map(len, phrase)) > _SHORT)
        parts = dict.fromkeys("[_-]?".join(map(_pattern, phrase)) for phrase in long)
        # Shorter ones stand in anything by chance.
        return linear(rf"(?i:{'|'.join(parts) or _NOTHING})(?:[^=:\"'<>\s\]%]|\z)".encode())

    def last_stems(self) -> bytes:
        """Return an RE2 pattern for the words that count only at the end of a name."""
        chosen = sorted(phrase[0] for phrase, (rule, last) in self._phrases.items() if rule and last)
        return f"(?i:{'|'.join(chosen) or _NOTHING})".encode()

    def rule(self, name: str) -> str | None:
        """Return the rule that masks what stands under a JSON, form or metadata name, None when there is none."""
        cache = self._cache
        found = cache.get(name, _UNKNOWN)  # one step, since another thread may clear it in between
        if found is _UNKNOWN:
            found = self._look(name)
            _remember(cache, name, found)
        return found

    def query_rule(self, name: str) -> str | None:
        """Return the rule for a query parameter: the names of the setting ``query`` are compared whole."""
        return self._exact.get(name.lower()) or self.rule(name) if self._exact else self.rule(name)

    def header_rule(self, name: str) -> str | None:
        """Return the rule for a header: the whole names of the list first, then the words."""
        cache = self._header_cache
        found = cache.get(name, _UNKNOWN)  # as above
        if found is _UNKNOWN:
            found = self._look_header(name.lower())
            _remember(cache, name, found)
        return found

    def _look_header(self, name: str) -> str | None:
        if name in self._headers:
            return self._headers[name]
        for prefix, rule in self._prefixes:
            if name.startswith(prefix):
                return rule
        return self.rule(name)

    def _look(self, name: str) -> str | None:
        original = name
        # What was masked must not be taken for a name the second time.
        if MARKER in name:
            name = _MARKED.sub(" x ", name)
        camel = words(name)
        # "APIkey" is neither camelCase nor anything else, so it is read a second time without its capitals.
        plain = tuple(word.lower() for word in _PLAIN.findall(name))
        found = self._scan(camel) or (self._scan(plain) if plain != camel else None)
        if found is None and "%" in name and MARKER not in original:
            # Encoded twice, as a name is that stands in an address inside of an address.
            decoded = unquote(unquote(name))
            return self._look(decoded.replace("%", " ")) if decoded != name else None
        return found

    def _scan(self, found: tuple[str, ...]) -> str | None:
        start, count = 0, len(found)
        while start < count:
            for size in range(min(self._longest, count - start), 0, -1):
                known = self._phrases.get(found[start : start + size])
                if known is not None:
                    rule, last = known
                    if rule and (not last or start + size == count):
                        return rule
                    start += size
                    break
            else:
                for ending, rule in self._endings:
                    if found[start].endswith(ending):
                        return rule
                start += 1
        return None


def _pattern(word: str) -> str:
    """Return an RE2 pattern for a word in bytes. Any letter beyond ASCII stands for any: capitals have other bytes."""
    return _BEYOND_ASCII.sub(lambda _: r"(?:[\x80-\xff]|\\+u[0-9A-Fa-f]{4})+", word)


def _remember(cache: dict[str, str | None], name: str, found: str | None) -> None:
    if len(name) <= _CACHE_LENGTH:
        if len(cache) >= _CACHE_NAMES:
            cache.clear()
        cache[name] = found
