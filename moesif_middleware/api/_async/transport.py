"""Sends one call until it has an answer that stands: within the rate, the time-outs and the number of attempts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx

from ..._version import VERSION
from ...errors import ConfigurationError, InvalidModel, TransportError
from ...sansio.protocol import backoff
from ..budget import MinuteBudget
from ..calls import Call, Reply, Timeouts, failure, pause_after

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_JSON = {"content-type": "application/json"}


class AsyncTransport:
    """One server with its credentials. Proxies come from the environment unless ``http`` is given."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        timeouts: Timeouts,
        attempts: int,
        budget: MinuteBudget,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        if not _is_http(base_url):
            raise ConfigurationError("base_url", f"{base_url!r} is no http or https URL")
        if attempts < 1:
            raise ConfigurationError("attempts", "at least one attempt is needed")
        # As in the settings, the version at its end may be left out.
        self._base_url = base_url.rstrip("/").removesuffix("/v1") + "/v1"
        self._headers = {"accept": "application/json", "user-agent": f"moesif-middleware/{VERSION}", **headers}
        self._timeouts = timeouts
        self._attempts = attempts
        self._budget = budget
        self._draw = random.Random().random  # noqa: S311  # jitter, not a secret
        self._owned = http is None
        self._http = http or httpx.AsyncClient()

    async def send(self, call: Call) -> Reply:
        """Return the answer of status 2xx. Raises APIError for any other and TransportError for none."""
        deadline = time.monotonic() + self._timeouts.total
        attempt = 1
        while isinstance(outcome := await self._attempt(call, attempt, deadline), float):
            await self._pause(outcome, deadline)
            attempt += 1
        return outcome

    async def _attempt(self, call: Call, attempt: int, deadline: float) -> Reply | float:
        """Return the answer, or the seconds after which to try again."""
        last = attempt >= self._attempts
        await self._pause(self._budget.reserve(time.time()), deadline)
        try:
            reply = await self._exchange(call, deadline)
        except httpx.InvalidURL as error:
            raise InvalidModel("path", str(error)) from None
        except httpx.HTTPError as error:
            pause = backoff(attempt, self._draw())
            safe = call.repeatable or isinstance(error, _NOT_SENT)
            if last or not safe or time.monotonic() + pause > deadline:
                raise TransportError(f"{call.verb} {call.path}: {type(error).__name__}: {error}") from error
            return pause
        return reply if 200 <= reply.status < 300 else self._refused(reply, call, attempt, deadline)

    def _refused(self, reply: Reply, call: Call, attempt: int, deadline: float) -> float:
        """Return the seconds after which to try again. Raises the answer's error when it stands."""
        now = time.time()
        pause = pause_after(reply, call, attempt, now=now, draw=self._draw())
        if pause is not None and reply.status == 429:
            self._budget.close_until(now + pause)
        if pause is None or attempt >= self._attempts or time.monotonic() + pause > deadline:
            raise failure(reply, now)
        return pause

    async def _exchange(self, call: Call, deadline: float) -> Reply:
        left = deadline - time.monotonic()
        patience = httpx.Timeout(min(self._timeouts.read, left), connect=min(self._timeouts.connect, left))
        async with self._http.stream(
            call.verb,
            self._base_url + call.path,
            params=call.query or None,
            content=call.body,
            headers={**self._headers, **call.headers, **({} if call.body is None else _JSON)},
            timeout=patience,
        ) as response:
            chunks = []
            async for chunk in response.aiter_bytes():
                # A server that drips bytes never runs into the read time-out.
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the call's time was over before its answer was complete")
                chunks.append(chunk)
            return Reply(response.status_code, dict(response.headers), b"".join(chunks))

    async def _pause(self, seconds: float, deadline: float) -> None:
        if time.monotonic() + seconds > deadline:
            raise TransportError(f"the rate limit lets the call start in {seconds:.0f} s, when its time is over")
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Close the connections, unless they belong to a client that was handed in."""
        if self._owned:
            await self._http.aclose()


class AsyncClosing:
    """What both clients share: they hold one transport and close it at the end of an ``async with`` block."""

    _transport: AsyncTransport

    async def aclose(self) -> None:
        """Close the client's connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _is_http(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in {"http", "https"} and bool(parsed.host)
