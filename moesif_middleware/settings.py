"""Settings, Hooks and Masking: a few frozen values, checked once, from keywords, a mapping or the environment.

One table, the fields of ``Settings``, says what there is: the field ``body_bytes`` is ``MOESIF_BODY_BYTES`` in the
environment and ``BODY_BYTES`` in a framework's settings mapping. Unknown keys are errors that suggest the near miss.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from typing import Any, Self, cast
from urllib.parse import urlsplit

from .errors import ConfigurationError

ENVIRONMENT_PREFIX = "MOESIF_"

DEFAULT_SKIP_PATHS = (
    "/health",
    "/health/live",
    "/health/ready",
    "/healthz",
    "/livez",
    "/readyz",
    "/ping",
    "/favicon.ico",
    "/robots.txt",
    "/static/*",
    "*.css",
    "*.js",
    "*.map",
    "*.png",
    "*.ico",
    "*.svg",
    "*.woff2",
)
"""What ``skip_paths`` is unless you say otherwise: health checks and static files.

Extend it with ``skip_paths=(*DEFAULT_SKIP_PATHS, "/metrics")``, replace it with any other tuple, or switch it off with
``()``. A ``*`` at the end matches what begins so, one at the start what ends so; anything else is the whole path.
"""

_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class Flag:
    """True or False; in text also yes/no, on/off, 1/0."""

    def __call__(self, key: str, value: object) -> bool:
        """Return the value, or raise ConfigurationError."""
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in _WORDS:
            return _WORDS[value.strip().lower()]
        raise ConfigurationError(key, f"must be True or False, not {value!r}")


class Number:
    """A number from ``low`` to ``high``, in ``unit``; whole when both bounds are."""

    def __init__(self, low: float, high: float, unit: str) -> None:
        self.low, self.high, self.unit = low, high, unit

    def __call__(self, key: str, value: object) -> int | float:
        """Return the value, or raise ConfigurationError."""
        whole = isinstance(self.low, int)
        kind = "a whole number" if whole else "a number"
        wanted = f"must be {kind} of {self.unit} from {self.low:g} to {self.high:g}"
        if isinstance(value, str):
            try:
                value = int(value) if whole else float(value)
            except ValueError:
                raise ConfigurationError(key, f"{wanted}, not {value!r}") from None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise ConfigurationError(key, f"{wanted}, not {value!r}")
        # Only now: NaN and infinity, which int() cannot take, are in no range.
        if whole and value != int(value):
            raise ConfigurationError(key, f"{wanted}, not {value!r}")
        return int(value) if whole else float(value)


class Text:
    """A string that the whole of ``pattern`` matches; ``meaning`` says in words which. ``optional``: or None."""

    def __init__(self, pattern: str = r"(?s).*", meaning: str = "text", optional: bool = False) -> None:
        self.pattern, self.meaning, self.optional = pattern, meaning, optional

    def __call__(self, key: str, value: object) -> str | None:
        """Return the value, or raise ConfigurationError."""
        if value is None and self.optional:
            return None
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise ConfigurationError(key, f"must be {self.meaning}, not {_shown(key, value)}")
        return value


class Texts:
    """Some strings; in text separated by commas. ``optional`` lets None through, with a meaning of its own."""

    def __init__(self, optional: bool = False) -> None:
        self.optional = optional

    def __call__(self, key: str, value: object) -> tuple[str, ...] | None:
        """Return the value, or raise ConfigurationError."""
        if value is None and self.optional:
            return None
        if isinstance(value, str):
            return tuple(part for part in map(str.strip, value.split(",")) if part)
        if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
            found = tuple(value)
            if all(isinstance(part, str) for part in found):
                return cast("tuple[str, ...]", found)
        raise ConfigurationError(key, f"must be a list of strings, or one string with commas, not {value!r}")


class Url:
    """The address of an HTTP server, perhaps with a path, as text."""

    def __call__(self, key: str, value: object) -> str:
        """Return the value, or raise ConfigurationError."""
        wanted = "must be a URL such as https://api.moesif.net"
        if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s?#]+", value):
            raise ConfigurationError(key, f"{wanted}, not {type(value).__name__} {value!r}")
        try:
            parts = urlsplit(value)
            usable = bool(parts.hostname) and parts.port != 0 and value.isprintable()
        except ValueError as error:
            raise ConfigurationError(key, f"{wanted}, not {value!r}: {error}") from None
        if "@" in parts.netloc:
            # Not repeated: it may hold a password, which would not be sent.
            raise ConfigurationError(key, f"{wanted}, without a user or a password in it")
        if not usable:
            raise ConfigurationError(key, f"{wanted}, not {value!r}")
        return value


class Networks:
    """Addresses and networks as Texts; None is let through, with a meaning of its own."""

    def __call__(self, key: str, value: object) -> tuple[str, ...] | None:
        """Return the value, or raise ConfigurationError."""
        found = Texts(optional=True)(key, value)
        for network in found or ():
            try:
                ip_network(network.strip(), strict=False)
            except ValueError:
                # Taken for nobody's address it would switch all proxy headers off without a word.
                message = f"{network!r} must be an address or a network such as 10.0.0.0/8"
                raise ConfigurationError(key, message) from None
        return found


class Choice:
    """One of some words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    def __call__(self, key: str, value: object) -> str:
        """Return the value, or raise ConfigurationError."""
        if value in self.words:
            return value
        raise ConfigurationError(key, f"must be one of {', '.join(self.words)}, not {value!r}")


class Nested:
    """A value of ``kind``, or a mapping of its fields."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind

    def __call__(self, key: str, value: object) -> Any:
        """Return the value, or raise ConfigurationError."""
        if isinstance(value, self.kind):
            return value
        if not isinstance(value, Mapping):
            raise ConfigurationError(key, f"must be {self.kind.__name__}(...) or a mapping, not {value!r}")
        names = [item.name for item in fields(self.kind)]
        for name in value:
            if name not in names:
                raise unknown_key(f"{key}.{name}", names)
        return self.kind(**value)


def near_misses(word: str, words: Iterable[str], cutoff: float) -> list[str]:
    """Return the one of the words that is most like this one, if one is at least ``cutoff`` (0 to 1) like it."""
    from difflib import get_close_matches  # late, since it is for mistakes only

    return get_close_matches(word, list(words), n=1, cutoff=cutoff)


def unknown_key(key: str, names: Iterable[str]) -> ConfigurationError:
    """Return the error for a key that is none of ``names``: what a vendor's one is called now, or the near miss."""
    from .vendor_keys import advice  # late, since it is for mistakes only

    vendor = advice(key)
    if vendor is not None:
        return ConfigurationError(key, f"is not a setting; {vendor}; see docs/migration.md")
    near = near_misses(key.lower().rpartition(".")[2], names, 0.6)
    hint = (
        f"did you mean {near[0].upper() if key.isupper() else near[0]}?" if near else "see moesif_middleware.Settings"
    )
    return ConfigurationError(key, f"is not a setting; {hint}")


def _shown(key: str, value: object) -> str:
    """Show a refused value; of one that may be a secret only what is odd about it."""
    kind = type(value).__name__
    if "id" not in key.lower().split("_"):
        return f"{kind} {value!r}"
    if not isinstance(value, str):
        return kind
    if value != value.strip():
        return "text with white space around it"
    return "text with other characters in it" if len(value) <= 512 else f"text of {len(value)}"


def _option(default: Any, check: Callable[[str, object], Any], doc: str) -> Any:
    return field(default=default, metadata={"check": check, "doc": doc})


class _Value:
    """Compared by its fields. Not generated for each class, as a dataclass would: that makes importing take longer."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """Return whether the other is of the same class and has the same values."""
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        """Return a hash of all values. Raises TypeError when one of them, such as a hook, has none."""
        return hash(self._values())

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, item.name) for item in fields(self))  # type: ignore[arg-type]  # all are dataclasses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hooks(_Value):
    """The user's own functions, sync or async, each run at most once a request and contained when it raises.

    ``request`` is what the framework's users know: a starlette ``Request`` under ASGI, a werkzeug ``Request`` under
    WSGI, the ``HttpRequest`` under Django. ``response`` has ``status_code``, ``headers`` and ``body`` (what was kept).
    """

    identify_user: Callable[[Any], Any] | None = None
    """``(request) -> str | None``, before the application runs, since governance needs it."""
    identify_company: Callable[[Any], Any] | None = None
    """``(request) -> str | None``, before the application runs."""
    get_session_token: Callable[[Any], Any] | None = None
    """``(request) -> str | None``, before the application runs."""
    get_metadata: Callable[[Any, Any], Any] | None = None
    """``(request, response) -> dict | None``, after the response."""
    skip: Callable[[Any, Any], Any] | None = None
    """``(request, response) -> bool``, after the response: True means no event."""
    mask_event: Callable[[Any], Any] | None = None
    """``(event) -> event | None``, on the delivery thread, after all other masking. None means that it was changed in
    place. If it raises, the event is dropped and counted: what could not be masked does not leave."""
    on_drop: Callable[[str, int], Any] | None = None
    """``(reason, count)``, on the delivery thread, whenever events are lost."""

    def __post_init__(self) -> None:
        """Refuse what cannot be called."""
        for item in fields(self):
            hook = getattr(self, item.name)
            if hook is not None and not callable(hook):
                raise ConfigurationError(item.name, f"must be a function, not {hook!r}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Masking(_Value):
    """What is masked beside the defaults, and which of the defaults are off."""

    extra_names: tuple[str, ...] = ()
    """Names whose values are masked wherever they stand, such as ``national id``; compared word by word."""
    off: tuple[str, ...] = ()
    """Default rules that are switched off, by their names, such as ``pin``."""
    headers: tuple[str, ...] = ()
    """Further header names."""
    query: tuple[str, ...] = ()
    """Further query parameter names."""
    body_paths: tuple[str, ...] = ()
    """Paths in JSON bodies, such as ``$.customer.address`` or ``$.items[*].note``."""
    values: tuple[str, ...] = ()
    """Regular expressions (RE2); what they match is masked wherever it stands."""

    def __post_init__(self) -> None:
        """Accept any list of strings."""
        for item in fields(self):
            object.__setattr__(self, item.name, Texts()(f"masking.{item.name}", getattr(self, item.name)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings(_Value):
    """All settings. Sizes are in bytes, times in seconds. Raises ConfigurationError with the key and the fix."""

    application_id: str = _option(
        "", Text(r"[\x21-\x7e]{1,512}", "the Collector Application Id (1 to 512 visible ASCII characters)"),
        "The Collector Application Id that every event is sent under. Required.",
    )  # fmt: skip
    base_uri: str = _option(
        "https://api.moesif.net", Url(), "The collector. May have a path, as the secure proxy does."
    )
    enabled: bool = _option(True, Flag(), "Off: the application runs bare.")
    strict: bool = _option(False, Flag(), "Raise on a bad setting instead of saying so once and letting the app run.")
    debug: bool = _option(False, Flag(), "Say in the log what is captured, sent and answered; never any content.")
    governance: str = _option(
        "enforce", Choice(("enforce", "shadow", "off")),
        "enforce: rules block. shadow: decide and record, never block. off: no rules.",
    )  # fmt: skip
    transaction_header: bool = _option(True, Flag(), "Set X-Moesif-Transaction-Id on responses.")
    api_version: str | None = _option(None, Text(optional=True), "request.api_version of every event.")

    capture_body: bool = _option(True, Flag(), "Off: no body is ever kept.")
    body_bytes: int = _option(100_000, Number(0, 460_800, "bytes"), "Kept of each body; the server takes 460 800.")
    capture_content_types: tuple[str, ...] = _option(
        (), Texts(), "Keep bodies of these media types only (application/json, text/*); none given: of all."
    )
    capture_statuses: tuple[str, ...] = _option(
        (), Texts(), "Keep bodies for these statuses only (5xx, 4xx, 201); none given: for all."
    )
    skip_paths: tuple[str, ...] = _option(DEFAULT_SKIP_PATHS, Texts(), "Requests that make no event, by path.")
    masking: Masking = _option(Masking(), Nested(Masking), "See Masking.")

    trusted_proxies: tuple[str, ...] | None = _option(
        None, Networks(),
        "Peers whose proxy headers say who the client is (addresses, networks). Not set: any. (): none.",
    )  # fmt: skip
    authorization_header: tuple[str, ...] = _option(
        ("authorization",), Texts(), "Headers that may hold credentials; the first one present names the user."
    )
    authorization_user_id_field: str = _option("sub", Text(r".+", "a claim's name"), "The JWT claim of the user id.")
    company_id_header: str | None = _option(None, Text(optional=True), "A request header that holds the company id.")
    company_id_claim: str | None = _option(None, Text(optional=True), "The JWT claim of the company id.")

    batch_events: int = _option(500, Number(1, 10_000, "events"), "Events in one request to the collector, at most.")
    batch_bytes: int = _option(4_194_304, Number(65_536, 50_000_000, "bytes"), "Encoded bytes in one, at most.")
    flush_interval: float = _option(1.0, Number(0.01, 3600.0, "seconds"), "The longest that an event waits to be sent.")
    queue_events: int = _option(10_000, Number(1, 10_000_000, "events"), "Events waiting in memory, at most.")
    queue_bytes: int = _option(33_554_432, Number(1_048_576, 17_179_869_184, "bytes"), "Memory for them, at most.")
    flush_each_request: bool = _option(False, Flag(), "Deliver before the request ends, for serverless functions.")
    connect_timeout: float = _option(5.0, Number(0.05, 300.0, "seconds"), "To connect to the collector.")
    read_timeout: float = _option(10.0, Number(0.05, 300.0, "seconds"), "Between two pieces of its answer.")
    request_timeout: float = _option(30.0, Number(0.05, 600.0, "seconds"), "One whole request to it.")
    shutdown_timeout: float = _option(5.0, Number(0.0, 600.0, "seconds"), "To deliver what is left at the end.")
    exit_on_sigterm: bool = _option(
        False,
        Flag(),
        "Make SIGTERM an orderly exit, for programs and servers that end without one (waitress, scripts).",
    )
    retry_seconds: float = _option(300.0, Number(0.0, 86_400.0, "seconds"), "How long a batch is tried from memory.")
    refresh_interval: float = _option(60.0, Number(1.0, 86_400.0, "seconds"), "Between two looks at config and rules.")

    spool_path: str | None = _option(
        None, Text(r".+", "a file's path", optional=True), "A file for undelivered events. Not set: memory."
    )
    spool_bytes: int = _option(268_435_456, Number(1_048_576, 1_099_511_627_776, "bytes"), "The file's size, at most.")
    spool_age: float = _option(86_400.0, Number(1.0, 2_592_000.0, "seconds"), "Events older than this leave the spool.")

    hooks: Hooks = _option(Hooks(), Nested(Hooks), "See Hooks.")

    def __post_init__(self) -> None:
        """Check every field; whole numbers given as text are read."""
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "application_id" or value:
                object.__setattr__(self, item.name, item.metadata["check"](item.name, value))
        if self.enabled and not self.application_id:
            raise ConfigurationError(
                "application_id", "is missing; pass application_id=... or set MOESIF_APPLICATION_ID (Moesif: API Keys)"
            )

    def __repr__(self) -> str:
        """Show what differs from the defaults, and of the application id its last four characters."""
        shown = [f"application_id='...{self.application_id[-4:]}'"]
        for item in fields(self)[1:]:
            value = getattr(self, item.name)
            if value != item.default and item.name != "hooks":
                shown.append(f"{item.name}={value!r}")
        return f"Settings({', '.join(shown)})"

    @classmethod
    def load(cls, options: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Return the settings of ``options`` (any case) over those of the environment. Raises ConfigurationError."""
        found = _from_environment(os.environ if environ is None else environ)
        hooks: dict[str, Any] = {}
        for key, value in (options or {}).items():
            name = str(key).lower()
            if name in HOOK_NAMES:
                hooks[name] = value
            elif name in SETTING_NAMES:
                found[name] = value
            else:
                raise unknown_key(str(key), [*SETTING_NAMES, *HOOK_NAMES])
        if hooks:
            base = found.get("hooks")
            given = {name: getattr(base, name) for name in HOOK_NAMES} if isinstance(base, Hooks) else {}
            found["hooks"] = Hooks(**(given | hooks))
        return cls(**found)


SETTING_NAMES = tuple(item.name for item in fields(Settings))
HOOK_NAMES = tuple(item.name for item in fields(Hooks))


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in environ.items():
        if not key.startswith(ENVIRONMENT_PREFIX):
            continue
        name = key[len(ENVIRONMENT_PREFIX) :].lower()
        if name in SETTING_NAMES and name not in {"hooks", "masking"}:
            found[name] = value
        # Other programs may have variables with this prefix, so only what is nearly one of ours is taken for a slip.
        elif near := near_misses(name, SETTING_NAMES, 0.85):
            raise ConfigurationError(key, f"is not a setting; did you mean {ENVIRONMENT_PREFIX}{near[0].upper()}?")
    return found
