"""The list of faults that the middleware is built against, and for each of its lines the tests that try it for real."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

DELIVERY, SPOOL, FEED = "runtime/test_delivery.py", "runtime/test_spool.py", "runtime/test_feed.py"
EXIT, FORK, ODD = "runtime/test_exit.py", "runtime/test_fork.py", "test_misbehaving.py"
ADAPTERS, ASGI, WSGI, BODIES = "test_adapters.py", "test_asgi.py", "test_wsgi.py", "sansio/test_bodies.py"

FAULTS: dict[str, tuple[str, ...]] = {
    "collector refuses": (f"{DELIVERY}::test_a_collector_that_refuses_connections_gets_the_events_when_it_is_back",),
    "collector hangs": (
        f"{DELIVERY}::test_a_broken_answer_costs_a_retry_and_no_event",
        f"{DELIVERY}::test_close_ends_within_its_timeout_while_the_collector_hangs",
        f"{SPOOL}::test_while_a_request_hangs_it_and_what_comes_after_it_reach_the_disk",
        "test_servers.py::test_an_ill_collector_changes_nothing_for_the_application_and_the_sum_holds",
    ),
    "collector answers 500, 502, 503": (f"{DELIVERY}::test_transient_answers_are_retried_until_they_clear",),
    "collector answers 429 with Retry-After in seconds and as a date": (
        f"{DELIVERY}::test_retry_after_is_honoured",
        "sansio/test_protocol.py::test_retry_after_is_read_in_both_forms",
    ),
    "collector answers 401, 402": (f"{DELIVERY}::test_a_wrong_account_pauses_and_loses_nothing",),
    "collector answers 413": (f"{DELIVERY}::test_one_poison_event_is_found_and_the_rest_is_delivered",),
    "collector answers 400 for one poison event in a batch": (
        f"{DELIVERY}::test_one_poison_event_is_found_and_the_rest_is_delivered",
        f"{SPOOL}::test_a_poison_event_in_the_spool_is_found",
        f"{DELIVERY}::test_a_batch_of_nothing_but_poison_is_given_up",
    ),
    "collector resets mid-answer, drips bytes": (f"{DELIVERY}::test_a_broken_answer_costs_a_retry_and_no_event",),
    "collector sends garbage or wrongly typed config and rules": (
        f"{FEED}::test_a_failure_keeps_the_last_good_copy",
        f"{FEED}::test_what_of_a_document_cannot_be_used_is_said_once_and_the_rest_is_used",
        "sansio/test_governance_oracle.py::test_no_json_value_as_config_rules_or_body_ever_raises",
    ),
    "collector sends 100 000 user rules": (
        "sansio/test_entities.py::test_100_000_users_are_held_in_little_more_than_their_bytes",
        "sansio/test_entities.py::test_reading_100_000_users_does_not_hold_up_the_other_threads",
    ),
    "collector sends a pattern that explodes in a backtracking engine": (
        "sansio/test_conditions.py::test_a_pattern_that_explodes_elsewhere_does_not_delay_the_request",
    ),
    "collector redirects": (
        f"{DELIVERY}::test_a_wrong_account_pauses_and_loses_nothing",
        f"{FEED}::test_a_failure_keeps_the_last_good_copy",
    ),
    "process: SIGTERM": (
        f"{EXIT}::test_a_server_that_is_told_to_end_delivers_first",
        f"{EXIT}::test_a_server_ends_in_its_time_while_the_collector_hangs",
        f"{EXIT}::test_sigterm_is_an_orderly_exit_when_that_is_asked_for",
    ),
    "process: SIGKILL with a spool": (
        f"{SPOOL}::test_four_processes_that_are_killed_lose_nothing_that_was_in_the_spool",
    ),
    "process: max_requests": (f"{EXIT}::test_workers_that_are_recycled_lose_nothing",),
    "process: fork before and after the first event": (
        f"{FORK}::test_a_process_that_forks_delivers_on_both_sides",
        f"{FORK}::test_a_spool_is_used_on_both_sides_of_a_fork",
        f"{FORK}::test_each_worker_delivers_its_events_once_and_refreshes_its_rules",
    ),
    "process: interpreter exit from a thread": (
        f"{EXIT}::test_what_was_captured_is_delivered_at_the_end",
        f"{EXIT}::test_a_process_ends_in_its_time_while_the_collector_hangs",
        f"{DELIVERY}::test_a_server_in_a_thread_outlives_the_main_thread",
    ),
    "process: closed event loop": (f"{EXIT}::test_what_was_captured_is_delivered_at_the_end",),
    "process: python -W error": (
        f"{EXIT}::test_what_was_captured_is_delivered_at_the_end",
        f"{FORK}::test_a_process_that_forks_delivers_on_both_sides",
    ),
    "process: exit while the name server hangs": (
        f"{EXIT}::test_a_process_ends_in_its_time_while_the_name_server_hangs",
    ),
    "process: leftovers at the lifespan's end": (
        f"{DELIVERY}::test_what_is_left_at_the_lifespans_end_is_counted_as_lost",
        f"{DELIVERY}::test_what_is_left_at_the_lifespans_end_goes_to_the_spool",
    ),
    "request: app raises before and after the response starts": (
        f"{ADAPTERS}::test_what_the_application_raises_is_recorded_and_passes_through",
        f"{ASGI}::test_an_exception_passes_through_and_is_recorded",
        f"{WSGI}::test_an_exception_passes_through_and_is_recorded",
        "test_servers.py::test_an_exception_is_the_servers_500_and_an_event",
    ),
    "request: client gone mid-stream": (f"{ADAPTERS}::test_a_client_that_goes_away_is_one_event_with_what_it_got",),
    "request: endless SSE": (f"{ODD}::test_an_endless_stream_is_passed_on_and_held_to_the_limit",),
    "request: websocket and lifespan scopes": (
        f"{ASGI}::test_other_scopes_are_untouched",
        f"{ASGI}::test_the_lifespan_starts_the_feed_and_flushes_before_the_end",
    ),
    "request: HEAD, 204, 304": (
        "sansio/test_events.py::test_a_response_that_has_no_body_on_the_wire_has_none_in_the_event",
        f"{ADAPTERS}::test_status_headers_bytes_and_chunks_are_the_applications",
    ),
    "request: 1xx": (
        f"{ASGI}::test_unknown_messages_are_forwarded_as_the_same_objects",
        "test_governance.py::test_a_rules_informational_status_is_a_final_answer_that_servers_can_send",
    ),
    "request: repeated headers": (
        f"{WSGI}::test_the_event_is_what_happened",
        "sansio/test_events.py::test_an_exchange_becomes_an_event",
    ),
    "request: non-UTF-8 headers and paths": (
        f"{ODD}::test_odd_headers_pass_as_they_are",
        f"{WSGI}::test_a_path_that_is_not_utf_8_is_as_on_the_wire",
        "sansio/test_events.py::test_odd_heads_become_events",
    ),
    "request: wrong Content-Length": (f"{ODD}::test_a_wrong_content_length_is_nobodys_but_the_servers",),
    "request: chunked upload": (f"{ODD}::test_a_chunked_upload_arrives_whole_under_a_real_server",),
    "request: large upload": (
        "test_servers.py::test_200_megabytes_pass_both_ways_as_they_are_in_the_memory_of_the_bare_application",
    ),
    "request: compressed bodies and bombs": (
        f"{BODIES}::test_content_codings_are_undone",
        f"{BODIES}::test_a_bomb_costs_no_more_memory_than_the_bound",
    ),
    "request: invalid JSON, NaN, 10 000 levels of nesting, null bytes": (
        f"{BODIES}::test_what_is_not_json_is_base64_of_the_bytes",
    ),
    "request: lone surrogates, huge integers": (f"{BODIES}::test_json_is_judged_by_the_bytes",),
    "request: cookies with separators": (f"{ODD}::test_odd_headers_pass_as_they_are",),
    "hooks raise": (
        f"{ADAPTERS}::test_a_hook_that_raises_costs_what_it_would_say",
        f"{ADAPTERS}::test_what_cannot_be_masked_is_not_sent",
        f"{DELIVERY}::test_the_lost_are_told_to_on_drop",
    ),
    "hooks return the wrong type": (f"{ODD}::test_a_hook_that_returns_the_wrong_type_costs_what_it_would_say",),
    "hooks are slow": (f"{ODD}::test_a_slow_mask_does_not_hold_up_the_request",),
    "hooks are async under WSGI and sync under ASGI": (
        f"{WSGI}::test_hooks_may_be_async_and_see_what_their_users_know",
        f"{ASGI}::test_hooks_see_what_their_users_know",
    ),
    "hooks mutate what they are given": (f"{ODD}::test_a_hook_that_changes_what_it_is_given_changes_no_answer",),
    "hooks call the middleware's own API": (
        f"{ODD}::test_a_hook_may_call_the_middlewares_own_api",
        f"{EXIT}::test_a_process_ends_in_its_time_while_the_collector_hangs",
    ),
}


@cache
def _tests_of(file: str) -> frozenset[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, kinds))


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_the_list_is_tried(fault: str) -> None:
    """A test that is renamed or goes away shows up here, under the fault that nobody tries any more."""
    missing = [test for test in FAULTS[fault] if test.partition("::")[2] not in _tests_of(test.partition("::")[0])]
    assert missing == []
