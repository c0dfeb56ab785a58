"""Moesif, the one handle: adapters begin, decide and submit through it; applications update, flush, look at stats."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import lru_cache
from types import FrameType
from typing import TYPE_CHECKING, Any

import httpx

from ..errors import ConfigurationError, InvalidModel
from ..models import Action, Company, Event, Subscription, User
from ..sansio import decoding, jsontext, straight
from ..sansio import events as wire
from ..sansio.conditions import Subject
from ..sansio.exchange import BodyBuffer, EnvironHead, Exchange, RequestHead, ScopeHead
from ..sansio.governance import ALLOW, Allow, Block, Snapshot, sendable
from ..sansio.headers import join_headers
from ..sansio.identity import client_address, company_from, credential_names, user_from_authorization
from ..sansio.joint import JointLook
from ..sansio.masking import Masker, compile_masking
from ..sansio.sampling import keep, weight
from ..settings import Hooks, Masking, Settings
from . import hooks as hooks_module
from .clock import pause, steady
from .feed import Feed
from .late import announces_forks, load
from .ledger import Ledger
from .paths import compile_media_types, compile_paths, compile_statuses
from .queue import VITAL, Entry, priority
from .sinks import CollectorSink, Sink
from .turns import give_way
from .worker import SampledOut, Worker

if TYPE_CHECKING:
    from ..outgoing import Capture
    from ..sansio.explain import Explanation

_log = logging.getLogger(__name__)


class DroppedEvent(Exception):  # names what happened, and never leaves the worker
    """An event that must not leave; ``reason`` is its key in the ledger."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Moesif:
    """The one handle of an application id: what adapters and applications talk to. Safe from any thread.

    ``Moesif()`` reads the environment, ``Moesif(application_id=...)`` and ``Moesif(Settings(...))`` say it in code. A
    bad setting is said once in the log and switches the handle off, so that the application runs bare; with
    ``strict=True`` it raises ConfigurationError. Nothing is started and nothing is sent before the first request.
    """

    def __init__(
        self, settings: Settings | Mapping[str, Any] | None = None, *, sink: Sink | None = None, **options: Any
    ) -> None:
        self.problem: str | None = None
        """Why this handle is switched off, when a setting is the reason."""
        try:
            if isinstance(settings, Settings):
                if options:
                    raise ConfigurationError(next(iter(options)), "goes into the Settings or Moesif that you pass")
            elif settings is None or isinstance(settings, Mapping):
                settings = Settings.load({**(settings or {}), **options})
            else:
                raise ConfigurationError(
                    "settings", f"must be Settings(...) or a mapping, not {type(settings).__name__}; an application id"
                    " is passed as application_id=..."
                )  # fmt: skip
            self._configure(settings, sink)
        except ConfigurationError as error:
            if _wants_strict(settings, options):
                raise
            self.problem = str(error)
            _log.error("moesif-middleware is off, the application runs without it: %s", error)
            self._configure(Settings(enabled=False), sink)

    def _configure(self, settings: Settings, sink: Sink | None) -> None:
        if settings.debug:
            _show_debug_lines()
        self.settings = settings
        self.enabled = settings.enabled
        self.hooks: Hooks = settings.hooks
        self.ledger, self.updates = Ledger(), Ledger()
        self._reported = 0
        self.errors: dict[str, int] = {}
        """Failures that were contained, by where they happened."""
        self._errors_said: set[str] = set()
        self._masker = compiled_masking(settings.masking)
        self._joint: JointLook | None = None
        self._skips = compile_paths(settings.skip_paths)
        self.keeps_status = compile_statuses(settings.capture_statuses)
        self.keeps_media_type = compile_media_types(settings.capture_content_types)
        self.body_limit = settings.body_bytes if settings.capture_body else 0
        self._options = wire.BuildOptions(
            api_version=settings.api_version,
            client_address=self._address,
            body_bytes=settings.body_bytes,
            look=self._masker.look,
        )
        self._credentials = frozenset(credential_names(settings.authorization_header))
        """Headers that may say who the user is; most requests have none of them."""
        self._draw = random.Random()  # noqa: S311  # sampling and correlation ids, no secrets
        self._ids_are_final = True
        """Whether no application has yet changed an id, by identify(), after the rules were asked."""
        self._pid = os.getpid()
        self._forgetting = threading.RLock()
        self.feed: Feed | None = Feed(settings, warm_up=self._warm_up) if sink is None else None
        self._fixed: Snapshot | None = None
        self.worker = Worker(
            settings, CollectorSink(settings) if sink is None else sink, self._encode, self._ledger_of,
            notice=self._notice, dropped=self._dropped, prepare=self._look_over,
        )  # fmt: skip
        self.hooks_before = any((self.hooks.identify_user, self.hooks.identify_company, self.hooks.get_session_token))
        self.hooks_after = any((self.hooks.skip, self.hooks.get_metadata))
        _open_handles.add(self)
        if settings.enabled and settings.exit_on_sigterm:
            _exit_on_sigterm()

    @classmethod
    def given(cls, moesif: Moesif | Mapping[str, Any] | None, options: Mapping[str, Any]) -> Moesif:
        """Return the handle that a middleware uses: the one it was given, else the shared one of its settings."""
        if not isinstance(moesif, Moesif):
            return cls.shared(**options) if moesif is None else cls.shared(moesif, **options)
        # Settings that are passed over in silence look like settings that do not work.
        return cls(moesif.settings, **options) if options else moesif

    @classmethod
    def shared(cls, settings: Settings | Mapping[str, Any] | None = None, **options: Any) -> Moesif:
        """Return the handle for these settings: the one that exists, or a new one."""
        made = cls(settings, **options)
        # A sink of one's own is no setting, by which two handles could be told apart.
        if made.problem is not None or "sink" in options:
            return made
        with _shared_lock:
            try:
                return _shared.setdefault(made.settings, made)
            except TypeError:  # a hook that cannot be hashed is not known to be the same one
                return made

    def __repr__(self) -> str:
        """Show the settings, without secrets."""
        return f"Moesif({self.settings!r})"

    # What adapters call, in the order of a request

    def start(self) -> None:
        """Begin to fetch config and rules, in the background. The first request does it too."""
        if self._pid != os.getpid():
            self.forget()
        if self.feed is not None and self.enabled:
            self.feed.start()

    @property
    def snapshot(self) -> Snapshot:
        """Return the config and rules in force."""
        if self._fixed is not None or self.feed is None:
            return self._fixed or _EMPTY
        return self.feed.snapshot

    def use(self, snapshot: Snapshot | None) -> None:
        """Use this snapshot whatever the collector says, for tests; None ends it."""
        self._fixed = snapshot

    @contextmanager
    def redirected(self, sink: Sink) -> Iterator[None]:
        """Send to ``sink`` and ask no collector for rules, for as long as the context lasts: for tests."""
        saved = self.worker.sink, self.feed, self._fixed, self.enabled
        self.worker.sink, self.feed, self.enabled = sink, None, True
        try:
            yield
        finally:
            self.flush()
            self.worker.sink, self.feed, self._fixed, self.enabled = saved

    def passes(self) -> bool:
        """Return whether this request needs no look at all, and count it if so: nobody's events are kept."""
        if not self.snapshot.silent:
            return False
        if self._pid != os.getpid():
            self.forget()
        if self.feed is not None and not self.feed.started:
            return False
        self.ledger.capture("sampled_out")
        return True

    def begin(self, head: RequestHead) -> Exchange:
        """Return the exchange for a request that starts now."""
        if self._pid != os.getpid():
            self.forget()
        feed = self.feed
        if feed is not None and not feed.started:
            feed.start()
        exchange = Exchange(head, time.time())
        exchange.bodies = self.body_limit > 0
        if self._skips(head.path):
            exchange.skipped = True
        return exchange

    def subject(self, exchange: Exchange, *, with_body: bool) -> Subject:
        """Return the exchange as rules read it, with its JSON body when that is known by now."""
        return Subject(
            exchange.head,
            ip_address=lambda: self._address(exchange.head),
            body=(lambda: json_body(exchange)) if with_body else None,
            status=exchange.status,
        )

    def identify_defaults(self, exchange: Exchange) -> None:
        """Fill in what no hook said: the user of the credentials, the company of a header or claim."""
        if exchange.direction == "Outgoing":
            # The credentials in it are the application's own.
            return
        settings, head = self.settings, exchange.head
        # To look for one header takes half as long as to join all, which the worker does soon enough.
        if exchange.user_id is None and any(map(head.header, self._credentials)):
            exchange.user_id = user_from_authorization(
                head.headers, settings.authorization_header, settings.authorization_user_id_field
            )
        if exchange.company_id is None and (settings.company_id_header or settings.company_id_claim):
            exchange.company_id = company_from(
                head.headers, settings.company_id_header, settings.company_id_claim, settings.authorization_header
            )

    @property
    def reads_body(self) -> bool:
        """Return whether some loaded rule reads the body, so that it has to be read ahead."""
        return self.snapshot.rules.reads_body and self.settings.governance != "off"

    @property
    def looks_ahead(self) -> bool:
        """Return whether hooks are asked, or the body is read, before the rules decide."""
        return self.hooks_before or self.reads_body

    def decide(self, exchange: Exchange) -> Allow | Block:
        """Return what the rules say, and whether the event is wanted when that is known. Never raises: fails open."""
        snapshot = self.snapshot
        if snapshot.idle:
            return ALLOW
        try:
            if snapshot.identifies:
                self.identify_defaults(exchange)
            # Rates by user and company alone need nothing of the request, which would take twice as long.
            subject = self.subject(exchange, with_body=self.reads_body) if snapshot.reads_request else None
            decision = ALLOW if subject is None else self._govern(snapshot, subject, exchange)
            if not snapshot.sampling.trivial:
                self._sample_before(snapshot, subject, exchange)
        except Exception as error:  # fail open: rules must not break the application
            self.failed("governance", error)
            exchange.blocked_by = None
            return ALLOW
        finally:
            if exchange.request_body is not None and not self._keeps_request(exchange):
                # It was read for the rules alone.
                exchange.request_body = None
        return decision

    def _sample_before(self, snapshot: Snapshot, subject: Subject | None, exchange: Exchange) -> None:
        """Sample before the application runs, when it is certain by then at which rate."""
        ids = (exchange.user_id, exchange.company_id) if self._ids_are_final else (None, None)
        rate = snapshot.sampling.rate_before(subject, *ids)
        if rate is not None:
            self._sample(exchange, rate)
            if snapshot.identifies:
                exchange.sampled_as = (rate, exchange.user_id, exchange.company_id)

    def _govern(self, snapshot: Snapshot, subject: Subject, exchange: Exchange) -> Allow | Block:
        mode = self.settings.governance
        if mode == "off":
            return ALLOW
        decision = snapshot.rules.decide(subject, exchange.user_id, exchange.company_id, snapshot.entities)
        if isinstance(decision, Block):
            if mode == "shadow":
                exchange.shadow = {"blocked_by": decision.rule_id, "status": decision.status}
                return ALLOW
            exchange.blocked_by = decision.rule_id
            decision = sendable(decision)
        return ALLOW if mode == "shadow" else decision

    def _sample(self, exchange: Exchange, rate: float) -> None:
        chance = rate
        if exchange.sampled_as is not None:
            # It was kept at another rate already: of those the share is kept that makes the lesser rate of all.
            before = exchange.sampled_as[0]
            rate, chance = min(rate, before), 100 * rate / before
        exchange.weight = weight(rate)
        exchange.keep = keep(chance, self._draw.random())

    def admit(self, exchange: Exchange) -> Allow | Block:
        """Return what the rules say, and give an exchange whose event is wanted its transaction id. Never raises."""
        decision = self.decide(exchange)
        if exchange.wanted:
            self.correlate(exchange)
        return decision

    def correlate(self, exchange: Exchange) -> None:
        """Give the exchange its X-Moesif-Transaction-Id: the request's own when it is a sane one, else a new one."""
        if not self.settings.transaction_header:
            return
        try:
            outer = exchange.outer
            given = exchange.head.header(wire.TRANSACTION_HEADER) if outer is None else outer.transaction_header
            # It goes back out in a header of the response, so nothing but a plain word is taken over.
            sane = given and len(given) <= 128 and given.isascii() and given.replace("-", "").replace("_", "").isalnum()
            exchange.transaction_header = given if sane else self.new_transaction_id()
        except Exception as error:  # what stands where headers should be is the application's to make sense of
            self.failed("correlate", error)

    def ahead_buffer(self, exchange: Exchange) -> BodyBuffer:
        """Return a buffer for what rules read of the request's body, whatever of it the event may keep."""
        exchange.request_body = BodyBuffer(self.settings.body_bytes)
        return exchange.request_body

    def request_buffer(self, exchange: Exchange) -> BodyBuffer | None:
        """Return a buffer for the request's body, when it is to be kept. Asked at its first byte."""
        if not self._keeps_request(exchange):
            return None
        exchange.request_body = BodyBuffer(self.body_limit)
        return exchange.request_body

    def _keeps_request(self, exchange: Exchange) -> bool:
        types = self.keeps_media_type
        return (
            exchange.wanted and exchange.bodies and (types is None or types(exchange.head.header("content-type") or ""))
        )

    def saw(self, exchange: Exchange, data: bytes) -> None:
        """Keep a bounded copy of a piece of the request's body as it passes, when it is to be kept. Never raises."""
        try:
            kept = exchange.request_body or self.request_buffer(exchange)
            if kept is not None:
                kept.feed(data)
        except Exception as error:  # the bytes are the application's, whatever is wrong with us
            self.failed("request", error)

    def response_buffer(self, exchange: Exchange) -> BodyBuffer | None:
        """Return a buffer for the response's body, when it is to be kept. Asked when the response starts."""
        statuses, types = self.keeps_status, self.keeps_media_type
        if not (exchange.wanted and exchange.bodies):
            return None
        if statuses is not None and not statuses(exchange.status or 0):
            exchange.bodies = False
            exchange.request_body = None
            return None
        if types is not None and not types(join_headers(exchange.response_headers).get("content-type", "")):
            return None
        exchange.response_body = BodyBuffer(self.body_limit)
        return exchange.response_body

    def view(self, exchange: Exchange) -> hooks_module.ResponseView:
        """Return the response as hooks see it."""
        request, response = exchange.request_body, exchange.response_body
        try:
            headers = httpx.Headers([(_plain(name), _plain(value)) for name, value in exchange.response_headers])
        except Exception as error:  # what is no header is the server's to refuse, and no reason to ask no hook
            self.failed("response", error)
            headers = httpx.Headers()
        return hooks_module.ResponseView(
            exchange.status,
            headers,
            response.getvalue() if response is not None else b"",
            request.getvalue() if request is not None else b"",
        )

    def conclude(self, exchange: Exchange, request: Any, response: Any = None) -> hooks_module.Steps:
        """Ask the hooks that are asked after the response (``hooks_after``), of an exchange whose event is wanted.

        ``response`` is the framework's own, where the adapter has one.
        """
        exchange.ended = time.time()
        if not exchange.wanted:
            return
        try:
            view = self.view(exchange)
            view.original = response
            yield from hooks_module.after(self.hooks, exchange, request, view, self.failed)
        except Exception as error:  # the application has answered, and must not hear of it
            self.failed("finish", error)

    def new_transaction_id(self) -> str:
        """Return a random UUID (version 4) as text."""
        number = self._draw.getrandbits(128)
        number = (number & ~(0xF << 76) | (0x4 << 76)) & ~(0x3 << 62) | (0x2 << 62)
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def submit(self, exchange: Exchange, route: Callable[[], str | None] | None = None) -> None:
        """Take a finished exchange: count it, and queue it unless it is skipped or sampled out. Never raises.

        ``route`` finds the route template; it is asked only for an exchange that is queued.
        """
        try:
            exchange.ended = exchange.ended or time.time()
            exchange.outer = None
            state = "skipped" if exchange.skipped else "queued" if self._wanted(exchange) else "sampled_out"
            if self.settings.debug:
                # Neither path nor ids: they may be what is masked later.
                _log.debug("captured: %s, status %s: %s", exchange.head.verb, exchange.status, state)
            if state != "queued":
                self.ledger.capture(state)
            else:
                if route is not None and exchange.route is None:
                    self._find_route(exchange, route)
                # Exact where it counts: the head of a request that waits behind a full batch may be as large as a body.
                waits = self.worker.queue.count >= self.settings.batch_events
                self.worker.put("events", exchange, exchange.whole_cost if waits else exchange.cost, priority(exchange))
        except Exception as error:  # an error of ours must not reach the application
            self.failed("submit", error)
            self.ledger.capture("dropped", "internal_error")

    def _find_route(self, exchange: Exchange, route: Callable[[], str | None]) -> None:
        try:
            exchange.route = route()
        except Exception as error:  # what a framework leaves behind may be anything
            self.failed("route", error)

    def _wanted(self, exchange: Exchange) -> bool:
        """Return whether the event is kept, or may be: the worker decides where a condition reads the body."""
        if exchange.sampled_as is not None and self._has_changed(exchange, *exchange.sampled_as[1:]):
            self._look_again(exchange)
        if exchange.weight is None:
            sampling = self.snapshot.sampling
            if sampling.trivial:
                exchange.weight = 1
            elif not sampling.reads_body:
                self._sample_finally(exchange)
        return exchange.keep

    def _has_changed(self, exchange: Exchange, user_id: str | None, company_id: str | None) -> bool:
        """Return whether the request is another user's or company's than the rate before the application was for."""
        sampling = self.snapshot.sampling
        # An id that was not known then was not counted on.
        user = bool(sampling.users) and user_id is not None and user_id != exchange.user_id
        return user or (bool(sampling.companies) and company_id is not None and company_id != exchange.company_id)

    def _look_again(self, exchange: Exchange) -> None:
        """Sample anew a request that has become somebody else's since its rate seemed certain."""
        # The application says who it is from inside. From now on no rate of an id is certain before that.
        self._ids_are_final = False
        if exchange.keep:
            exchange.weight = None

    def _sample_finally(self, exchange: Exchange) -> None:
        self.identify_defaults(exchange)
        sampling = self.snapshot.sampling
        subject = self.subject(exchange, with_body=True) if sampling.reads_request else None
        self._sample(exchange, sampling.rate(subject, exchange.user_id, exchange.company_id))

    def missed(self, error: Exception) -> None:
        """Count a request that could not even be looked at, and what was wrong; it belongs to the application alone."""
        self.failed("begin", error)
        self.ledger.capture("dropped", "internal_error")

    def failed(self, where: str, error: Exception) -> None:
        """Count a contained failure, and say it once for each place.

        Of the error only its type: its text may quote what was being masked, and a log is a way out too.
        """
        self.errors[where] = self.errors.get(where, 0) + 1
        if where not in self._errors_said:
            self._errors_said.add(where)
            _log.warning("%s failed and was contained; said once: %s", where, type(error).__name__)

    # What applications call

    def explain(self, request: Any, *, user_id: str | None = None, company_id: str | None = None) -> Explanation:
        """Say rule by rule what the config and rules in force decide about a request, and why; nothing is done.

        ``request`` is a framework's request (with ``scope``, ``environ`` or ``META``), a scope or an environ. Ids that
        are not given are found as for a real request, async hooks excepted. ``str(explanation)`` is for people,
        ``explanation.as_dict()`` for programs.
        """
        exchange = Exchange(_head_of(request), time.time())
        exchange.user_id, exchange.company_id = user_id, company_id
        hooks_module.run(hooks_module.before(self.hooks, exchange, request, self.failed))
        exchange.user_id, exchange.company_id = user_id or exchange.user_id, company_id or exchange.company_id
        self.identify_defaults(exchange)
        subject = self.subject(exchange, with_body=False)
        from ..sansio.explain import explain  # late, since nothing else needs it

        return explain(self.snapshot, subject, exchange.user_id, exchange.company_id)

    def update_user(self, user: User | Mapping[str, Any]) -> None:
        """Queue an upsert of a user. Raises InvalidModel, which names the field; never blocks."""
        self._update("users", User, "user_id", user)

    def update_users(self, users: Iterable[User | Mapping[str, Any]]) -> None:
        """Queue upserts of users."""
        for user in users:
            self.update_user(user)

    def update_company(self, company: Company | Mapping[str, Any]) -> None:
        """Queue an upsert of a company. Raises InvalidModel, which names the field; never blocks."""
        self._update("companies", Company, "company_id", company)

    def update_companies(self, companies: Iterable[Company | Mapping[str, Any]]) -> None:
        """Queue upserts of companies."""
        for company in companies:
            self.update_company(company)

    def update_subscription(self, subscription: Subscription | Mapping[str, Any]) -> None:
        """Queue an upsert of a subscription. Raises InvalidModel, which names the field; never blocks."""
        self._update("subscriptions", Subscription, "subscription_id", subscription)

    def update_subscriptions(self, subscriptions: Iterable[Subscription | Mapping[str, Any]]) -> None:
        """Queue upserts of subscriptions."""
        for subscription in subscriptions:
            self.update_subscription(subscription)

    def track(
        self,
        action_name: str,
        *,
        user_id: str | None = None,
        company_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        uri: str | None = None,
        session_token: str | None = None,
    ) -> None:
        """Queue an action, such as ``Signed Up``. Raises InvalidModel without a name; never blocks."""
        action = Action(
            action_name,
            request={"uri": uri, "time": time.time()} if uri else None,
            user_id=user_id,
            company_id=company_id,
            session_token=session_token,
            transaction_id=self.new_transaction_id(),
            metadata=dict(metadata) if metadata else None,
        )
        self._update("actions", Action, "action_name", action)

    def _update(self, kind: str, model: type[Any], key: str, value: Any) -> None:
        if isinstance(value, Mapping):
            value = model.from_wire(dict(value))
        if not isinstance(value, model):
            raise InvalidModel(kind, f"must be {model.__name__} or a mapping of its fields, not {type(value).__name__}")
        if not isinstance(getattr(value, key), str) or not getattr(value, key):
            raise InvalidModel(key, "is missing; it must be a string that is not empty")
        if self._pid != os.getpid():
            self.forget()
        if self.enabled:
            self.worker.put(kind, value, 1024, VITAL)

    def capture_outgoing(self, libraries: Iterable[str] | None = None, **options: Any) -> Capture:
        """Capture the calls that the application makes itself with httpx, requests, urllib3 and aiohttp.

        For good, until ``undo()`` of what is returned, or for as long as a ``with`` lasts. ``options`` are those of
        ``moesif_middleware.outgoing.capture``: ``hooks`` and ``bodies``. Raises ConfigurationError for a library that
        is unknown, or named and not installed.
        """
        outgoing = importlib.import_module("..outgoing", __package__)
        found: Capture = outgoing.capture(self, libraries, **options)
        return found

    def flush(self, timeout: float | None = None) -> bool:
        """Deliver everything now. Returns whether all was settled within ``timeout`` seconds (shutdown_timeout)."""
        if self._pid != os.getpid():
            self.forget()
        return self.worker.flush(self.settings.shutdown_timeout if timeout is None else timeout)

    async def aflush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # the same meaning as flush()
        """Deliver everything now without blocking the event loop; as flush()."""
        if self._pid != os.getpid():
            self.forget()
        self.worker.start()
        self.worker.request_flush()
        return await self._drained(self.settings.shutdown_timeout if timeout is None else timeout)

    async def _drained(self, timeout: float, *, until_failure: bool = False) -> bool:  # noqa: ASYNC109  # as above
        worker, failures = self.worker, self.worker.failures
        deadline = steady() + (0.0 if worker.delivers_here else timeout)
        while not worker.drained:
            if steady() >= deadline or (until_failure and worker.failures != failures):
                return False
            await pause(0.005)
        return True

    def flush_request(self) -> bool:
        """Deliver what there is at the end of a request (``flush_each_request``); does not insist during an outage."""
        try:
            return self.worker.settle(self.settings.shutdown_timeout)
        except Exception as error:  # the request was answered
            self.failed("flush", error)
            return False

    async def aflush_request(self) -> bool:
        """As flush_request(), without blocking the event loop."""
        worker = self.worker
        if worker.resigned:
            return False
        worker.hurry()
        try:
            return await self._drained(self.settings.shutdown_timeout, until_failure=True)
        except Exception as error:  # the request was answered, on an event loop that anyio may not know
            self.failed("flush", error)
            return False

    async def apark(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as above
        """Deliver within ``timeout`` seconds (shutdown_timeout), spool or count the rest, and write the ledger.

        For a moment that may be the process's last one, or may not: requests may come afterwards.
        """
        worker = self.worker
        left = self.settings.shutdown_timeout if timeout is None else timeout
        worker.park(left)
        if not await self._drained(left, until_failure=worker.outbox.spools):
            worker.leave()
        self.report()

    def close(self, timeout: float | None = None) -> None:
        """Flush within ``timeout`` seconds (shutdown_timeout), spool or count the rest, and end. Final."""
        if self._pid != os.getpid():
            self.forget()
        if self.worker.closed:
            return
        if self.feed is not None:
            self.feed.stop()
        self.worker.close(self.settings.shutdown_timeout if timeout is None else timeout)
        with _shared_lock:
            for settings in [key for key, handle in _shared.items() if handle is self]:
                del _shared[settings]
        self.report()

    def report(self) -> None:
        """Write the ledger into the log, in one line, unless nothing was captured since the last time."""
        counts = self.ledger.snapshot()
        if counts["captured"] > self._reported:
            self._reported = counts["captured"]
            level = logging.WARNING if counts["dropped"] or counts["queued"] else logging.INFO
            health = self.worker.health
            why = f"; the collector does not take events: {health.reason}" if health.ill else ""
            _log.log(level, "moesif-middleware ends: %s%s", _in_words(counts), why)

    def stats(self) -> dict[str, Any]:
        """Return the ledger: captured = delivered + queued + spooled + sampled_out + skipped + dropped by reason.

        ``updates`` is the same of users, companies, subscriptions and actions; ``errors`` counts contained failures by
        place; ``collector`` says how the collector is, and why config and rules are old if they are; ``spool`` counts
        events that this process took over from another one, and that another one took over from it, through a shared
        spool.
        """
        health, feed = self.worker.health, self.feed
        return {
            **self.ledger.snapshot(),
            "updates": self.updates.snapshot(),
            "errors": dict(self.errors),
            "collector": {
                "healthy": not health.ill,
                "reason": health.reason,
                "config_fetches": feed.fetches if feed is not None else 0,
                "config_failure": feed.failure if feed is not None else "",
                "config_problems": len(self.snapshot.problems),
                "queued_bytes": self.worker.queue.bytes,
            },
            "spool": {"adopted": self.ledger.adopted, "handed_over": self.ledger.handed_over},
            "problem": self.problem,
        }

    # On the delivery thread

    def _ledger_of(self, kind: str) -> Ledger:
        return self.ledger if kind == "events" else self.updates

    def _look_over(self, entries: Sequence[Entry]) -> None:
        """Look over what is encoded next, in one search."""
        if self.hooks.mask_event is not None:
            # What a hook sees is masked on the longer way.
            return
        if self._joint is None:
            self._joint = JointLook(self._masker)
        try:
            self._joint.over(
                entry.payload for entry in entries if entry.kind == "events" and entry.payload.weight is not None
            )
        except Exception as error:
            # Each is looked at on its own then, and whatever is wrong with one is that one's.
            _log.debug("no look over several exchanges: %s", type(error).__name__)

    def _warm_up(self) -> None:
        """Make what the first event needs, a little at a time, before a request would have to wait for it."""
        if announces_forks():
            self._masker.joint_looks(pause=give_way)
            load()

    def _encode(self, entry: Entry) -> bytes:
        if entry.kind != "events":
            payload = self._masker.action(entry.payload) if entry.kind == "actions" else entry.payload
            return jsontext.dump(payload.to_wire())
        exchange: Exchange = entry.payload
        self.identify_defaults(exchange)
        if exchange.weight is None:
            self._sample_finally(exchange)
            if not exchange.keep:
                raise SampledOut
        hook, transaction_id = self.hooks.mask_event, self.new_transaction_id()
        if hook is None and (encoded := self._encode_straight(exchange, transaction_id)) is not None:
            return encoded
        event = wire.build(exchange, self._options, transaction_id=transaction_id)
        try:
            event = wire.finish(self._masker.event(event), parsed=hook is not None)
            if hook is not None:
                event = self._mask(hook, event)
        except Exception as error:
            # What could not be masked does not leave.
            self.failed("mask_event" if hook is not None else "masking", error)
            raise DroppedEvent("mask_failed") from error
        return wire.encode(event, own=hook is None)

    def _encode_straight(self, exchange: Exchange, transaction_id: str) -> bytes | None:
        try:
            return straight.encode(exchange, self._options, self._masker, transaction_id)
        except Exception:  # the longer way fails as well, and tells which step it was
            return None

    def _mask(self, hook: Callable[[Event], Any], event: Event) -> Event:
        found = hook(event)
        if isinstance(found, Awaitable):
            found = hooks_module.resolve(found)
        if found is None:
            return event
        if not isinstance(found, Event):
            raise TypeError(f"mask_event must return the event or None, not {type(found).__name__}")
        return found

    def _address(self, head: RequestHead) -> str | None:
        return client_address(head.headers, head.peer, self.settings.trusted_proxies)

    def _notice(self, answer: Any) -> None:
        if self.feed is not None:
            self.feed.notice(answer)

    def _dropped(self, reason: str, count: int) -> None:
        hook = self.hooks.on_drop
        if hook is None:
            return
        try:
            hook(reason, count)
        except Exception as error:  # the hook's failure is counted and stays here
            self.failed("on_drop", error)

    def forget(self) -> None:
        """Begin anew in a forked child: empty queue and ledger, own connections, threads and dice.

        Where forks are not announced, its first requests come here at the same time: one does it, the others wait.
        """
        with self._forgetting:
            if self._pid == os.getpid():
                return
            self._reported = 0
            self._draw = random.Random()  # noqa: S311  # sampling and correlation ids, no secrets
            self.ledger.forget()
            self.updates.forget()
            self.worker.forget()
            if self.feed is not None:
                self.feed.forget()
            # Last, since it is what tells the others that all is done.
            self._pid = os.getpid()

    def forget_after_fork(self) -> None:
        """Begin anew in a forked child that has no thread yet but this one."""
        self._forgetting = threading.RLock()  # the parent may have held it
        self._pid = 0  # in a namespace of its own it may have its parent's
        self.forget()


def _plain(part: Any) -> Any:
    """Return a header's name or value as bytes, if it is of a kind that servers take for bytes."""
    return bytes(part) if isinstance(part, (bytearray, memoryview)) else part


def _head_of(request: Any) -> RequestHead:
    found = request
    for name in ("scope", "environ", "META"):
        found = getattr(request, name, found)
    if not isinstance(found, Mapping):
        raise InvalidModel("request", f"must be a request, a scope or an environ, not {type(request).__name__}")
    if "REQUEST_METHOD" in found:
        return EnvironHead(found)
    return ScopeHead(found, list(found.get("headers") or ()))


def _show_debug_lines() -> None:
    """Let the package's lines of debugging out, to standard error where the application has no place for them."""
    logger = logging.getLogger("moesif_middleware")
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())


@lru_cache(maxsize=8)
def compiled_masking(masking: Masking) -> Masker:
    """Return what masks by these settings, compiled once. Raises ConfigurationError, which names the setting."""
    try:
        return compile_masking(**{item.name: getattr(masking, item.name) for item in fields(masking)})
    except ConfigurationError as error:
        raise ConfigurationError(f"masking.{error.key}", error.message) from None


def json_body(exchange: Exchange) -> Any:
    """Return the request's body as JSON, decoded, of one that was cut what was kept; None when it is none."""
    body = exchange.request_body
    if body is None:
        return None
    data, coding = body.getvalue(), exchange.head.header("content-encoding")
    # What is read ahead of the application may end at the limit.
    cut = body.kept >= body.limit
    if coding:
        # Or a rule could be got round by compressing what it reads; or by saying so, which few applications look at.
        with suppress(decoding.Undecodable):
            data, whole = decoding.undo(data, coding, body.limit)
            cut = cut or not whole
    try:
        return jsontext.parse_cut(data) if cut else jsontext.parse_any(data)
    except ValueError:
        return None


def _wants_strict(settings: object, options: Mapping[str, Any]) -> bool:
    if isinstance(settings, Settings):
        return settings.strict
    given: dict[str, Any] = {**(settings if isinstance(settings, Mapping) else {}), **options}
    named = {str(key).lower(): value for key, value in given.items()}
    return str(named.get("strict", os.environ.get("MOESIF_STRICT", ""))).lower() in {"true", "1", "yes", "on"}


def _in_words(counts: dict[str, Any]) -> str:
    parts = [f"{counts[name]} {name.replace('_', ' ')}" for name in ("captured", "delivered", "spooled")]
    parts += [
        f"{counts[name]} {name.replace('_', ' ')}" for name in ("queued", "sampled_out", "skipped") if counts[name]
    ]
    parts += [f"{count} dropped ({reason})" for reason, count in sorted(counts["dropped"].items())]
    return ", ".join(parts)


_EMPTY = Snapshot()
_shared: dict[Settings, Moesif] = {}
_shared_lock = threading.Lock()
_open_handles: weakref.WeakSet[Moesif] = weakref.WeakSet()


def _close_all() -> None:
    # All of them share the time of the one that has the most.
    handles = tuple(_open_handles)
    deadline = steady() + max((handle.settings.shutdown_timeout for handle in handles), default=0.0)
    for handle in handles:
        handle.close(min(handle.settings.shutdown_timeout, max(deadline - steady(), 0.0)))


def _close_unless_serving() -> None:
    """Close when the main thread ends, unless other threads keep the process, and perhaps a server, going."""
    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        _close_all()
        # Exit handlers run after this, and may serve or capture something still.
        for handle in tuple(_open_handles):
            handle.worker.reopen()


def _rest_all() -> None:
    for handle in tuple(_open_handles):
        handle.worker.rest()
        if handle.feed is not None:
            handle.feed.rest()


def _resume_all() -> None:
    for handle in tuple(_open_handles):
        handle.worker.resume()
        if handle.feed is not None:
            handle.feed.resume()


def _forget_all() -> None:
    global _shared_lock  # the parent may have held it at the fork
    _shared_lock = threading.Lock()
    for handle in tuple(_open_handles):
        handle.forget_after_fork()


def _exit_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit in the main thread, unless somebody handles it already."""
    if threading.current_thread() is not threading.main_thread():
        _log.warning("exit_on_sigterm has no effect: a handle must be made in the main thread for it")
        return
    import signal  # late, since hardly anybody asks for it

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a signal handler's signature
    raise SystemExit(128 + number)


# Threading's own hook runs before the interpreter refuses new threads and sockets, and it is the only one that some
# servers reach; atexit is the public one. close() does its work once.
if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_close_unless_serving)  # noqa: SLF001  # no public door to this moment
atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_rest_all, after_in_parent=_resume_all, after_in_child=_forget_all)
