"""The error tree.

MoesifError
 ├── ConfigurationError    a setting is missing, unknown or of the wrong type; names the key and the fix
 ├── InvalidModel          a model cannot be sent as it is; names the field
 ├── InvalidPayload        an answer that cannot be read as config or rules; the last good one stays in force
 ├── TransportError        no complete answer: connect, read, time-out, deadline
 ├── SpoolError            the spool could not do it now; what was to go there stays in memory
 └── APIError              an answer that is not a success; has status, request id and body
      ├── AuthenticationError   401: wrong application id or management key, or a missing scope
      ├── PaymentRequired       402: the subscription is not active
      ├── NotFound              404
      ├── RateLimited           429: ``retry_after`` in seconds
      ├── InvalidRequest        any other 4xx
      └── ServerError           5xx
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class MoesifError(Exception):
    """Everything this package raises on purpose."""


class ConfigurationError(MoesifError, ValueError):
    """A setting that cannot be used. ``key`` is its name as the caller wrote it, ``message`` what is wrong with it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key, self.message = key, message


class InvalidModel(MoesifError, ValueError):
    """A model that the collector would refuse. ``field`` is the dotted path of what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidPayload(MoesifError, ValueError):
    """A config or rules document that is not the JSON it should be, as a whole."""


class TransportError(MoesifError):
    """No complete answer came: the connection, the time-out or the total deadline failed.

    ``sent`` and ``unsent`` are as on APIError.
    """

    sent: int = 0
    unsent: Sequence[dict[str, Any]] = ()


class SpoolError(MoesifError):
    """The spool could not do it now; what was to go there stays in memory."""


class APIError(MoesifError):
    """An answer that is not a success.

    When a batch was refused, ``sent`` is how many documents before it were taken, and ``unsent`` the batch as it would
    go out again.
    """

    sent: int = 0
    unsent: Sequence[dict[str, Any]] = ()

    def __init__(
        self, status: int, message: str, *, request_id: str | None = None, body: object = None, hint: str | None = None
    ) -> None:
        text = f"{status}: {message}"
        super().__init__(f"{text} ({hint})" if hint else text)
        self.status = status
        self.message = message
        self.request_id = request_id
        self.body = body


class AuthenticationError(APIError):
    """401: the application id or the management key is wrong, or ``missing_scope`` is not granted to it."""

    missing_scope: str | None = None


class PaymentRequired(APIError):
    """402: the subscription behind the key is not active."""


class NotFound(APIError):
    """404: no such document or path."""


class RateLimited(APIError):
    """429: ask again after ``retry_after`` seconds (None when the server did not say)."""

    retry_after: float | None = None


class InvalidRequest(APIError):
    """A 4xx answer that asking again will not change."""


class ServerError(APIError):
    """A 5xx answer."""


_BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    402: PaymentRequired,
    404: NotFound,
    429: RateLimited,
}


def error_class(status: int) -> type[APIError]:
    """Return the class of the tree for an HTTP status of 400 or more."""
    return _BY_STATUS.get(status) or (ServerError if status >= 500 else InvalidRequest)
