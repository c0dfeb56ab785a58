"""Config and rules of the application, fetched in the background and swapped as one immutable snapshot.

Wire facts: reference, "Config" and "Rules". Both are asked for at the start, every ``refresh_interval`` with jitter,
and when a tag that came with an answer to events is none of the last two seen: collectors behind one balancer may
differ for a while, and flapping tags must not make a fetch of every answer.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from ..errors import MoesifError, TransportError
from ..sansio.governance import EMPTY, Snapshot, compile_config, compile_rules
from ..sansio.protocol import CONFIG_TAG_HEADER, RULES_TAG_HEADER, Answer, own_words, refusal
from ..settings import Settings
from .bell import Bell
from .late import LateTransport, load_for_uwsgi
from .turns import give_way

_log = logging.getLogger(__name__)

MAX_DOCUMENT = 16 * 1024 * 1024
"""Bytes read of one config or rules answer."""
PROBLEMS_SAID = 5
"""Problems of a document that its one log line spells out."""
REST_SECONDS = 0.2
"""How long a fork waits for the thread to end when it is idle."""
LEAST_INTERVAL = 10.0
"""Seconds between two fetches that tags ask for."""


class _Document:
    """One of the two, as it was last seen."""

    __slots__ = ("etag", "path", "tag_header", "tags")

    def __init__(self, path: str, tag_header: str) -> None:
        self.path, self.tag_header = path, tag_header
        self.etag: str | None = None
        self.tags: deque[str] = deque(maxlen=2)


class Feed:
    """Keeps ``snapshot`` fresh on a daemon thread of its own, so that a hanging delivery does not stale the rules."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        *,
        warm_up: Callable[[], None] = lambda: None,
    ) -> None:
        """``warm_up`` is called on the thread before it fetches for the first time, and raises nothing."""
        self._settings, self._clock, self._warm_up = settings, clock, warm_up
        self.snapshot: Snapshot = EMPTY
        self._reset()

    def _reset(self) -> None:
        self._transport = LateTransport(self._settings)
        self._documents = {
            "config": _Document("/v1/config", CONFIG_TAG_HEADER.lower()),
            "rules": _Document("/v1/rules", RULES_TAG_HEADER.lower()),
        }
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()
        self._wake = Bell()
        self._stopped = False
        self._resting = False
        self._asked = False
        self._next = 0.0
        self._last = -LEAST_INTERVAL
        self.failure = ""
        """Why the last round failed, empty when it did not."""
        self.fetches = 0
        """Rounds so far, failed ones too."""

    def start(self) -> None:
        """Start fetching unless that has begun. Never waits."""
        with self._starting:
            if self._thread is not None or self._stopped or self._resting:
                return
            load_for_uwsgi()
            thread = threading.Thread(target=self._run, name="moesif-feed", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                _log.debug("no thread can be started now: %s", error)
                return
            self._thread = thread

    @property
    def started(self) -> bool:
        """Return whether the thread was started in this process."""
        return self._thread is not None

    def notice(self, answer: Answer) -> None:
        """Look at the tags of an answer to events; a new one asks for a fetch."""
        for name, tag in (("config", answer.config_tag), ("rules", answer.rules_tag)):
            tags = self._documents[name].tags
            # Before the first fetch there is nothing to compare with, and it is under way anyway.
            if tag and self.fetches and tag not in tags:
                tags.append(tag)
                self._asked = True
                self._wake.ring()

    def stop(self) -> None:
        """Stop fetching; the last snapshot stays."""
        self._stopped = True
        self._wake.ring()

    def rest(self) -> None:
        """End the thread before a fork, unless it is busy: a process that forks should have one thread only."""
        self._resting = True
        self._wake.ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(REST_SECONDS)

    def resume(self) -> None:
        """Go on after a fork, in the parent."""
        thread, self._resting = self._thread, False
        if thread is not None and not thread.is_alive():
            self._thread = None
            self.start()

    def forget(self) -> None:
        """Begin anew in a forked child, with the snapshot that the parent had."""
        self._transport.abandon()
        self._reset()

    def _run(self) -> None:
        self._warm_up()
        jitter = random.Random()  # noqa: S311  # spreads a fleet's requests
        while not (self._stopped or self._resting):
            now = self._clock()
            due = min(self._next, self._last + LEAST_INTERVAL) if self._asked else self._next
            if now < due:
                self._wake.wait(due - now)
                continue
            self._asked, self._last = False, now
            self.refresh()
            self._next = self._clock() + self._settings.refresh_interval * (0.9 + 0.2 * jitter.random())
        if self._stopped:
            self._transport.close()

    def refresh(self) -> bool:
        """Fetch both now, on the calling thread; return whether both answered. A failure keeps the last good copy."""
        failure = ""
        for name, document in self._documents.items():
            try:
                self._fetch(name, document)
            except MoesifError as error:
                failure = f"{document.path}: {error}"
            except Exception:
                # A document that breaks the compiler must not end the refreshing.
                _log.exception("%s cannot be used; the last good one stays", document.path)
                failure = document.path
        self.fetches += 1
        if failure and not self.failure:
            _log.warning("config and rules cannot be refreshed, the last good ones stay: %s", failure)
        elif self.failure and not failure:
            _log.warning("config and rules are refreshed again")
        self.failure = failure
        return not failure

    def _fetch(self, name: str, document: _Document) -> None:
        headers = {"If-None-Match": document.etag} if document.etag else {}
        status, answered, body = self._transport.request(
            "GET", document.path, headers, None, self._settings.request_timeout, MAX_DOCUMENT
        )
        self._note_tags(answered)
        if status == 304:
            return
        if status != 200:
            raise TransportError(refusal(status, own_words(body)))
        if name == "config":
            self._use(self.snapshot.with_config(compile_config(body, pause=give_way)))
        else:
            self._use(self.snapshot.with_rules(compile_rules(body)))
        # Kept only now: a document that could not be used is to come again in full.
        document.etag = answered.get("etag") or answered.get(document.tag_header)

    def _use(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force, and say once what of it cannot be used."""
        known = set(self.snapshot.problems)
        self.snapshot = snapshot
        new = [problem for problem in snapshot.problems if problem not in known]
        if new:
            more = f" and {len(new) - PROBLEMS_SAID} more" if len(new) > PROBLEMS_SAID else ""
            _log.warning("not used of config and rules: %s%s", "; ".join(new[:PROBLEMS_SAID]), more)

    def _note_tags(self, headers: Mapping[str, str]) -> None:
        for document in self._documents.values():
            tag = headers.get(document.tag_header)
            if tag and tag not in document.tags:
                document.tags.append(tag)
