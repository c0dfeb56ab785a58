"""What the compiler raises for a search that it cannot answer exactly."""

from __future__ import annotations

from ...errors import InvalidModel


class InvalidSearch(InvalidModel):
    """A clause that is malformed or not supported; ``path`` is where it stands, such as ``query.bool.must[0].fuzzy``.

    The HTTP layer answers it with 400: a clause is never left out silently.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path or "body", message)
        self.path = path
        self.message = message
