"""Both variants of the typed client through the life of every kind of document, against the project's own collector."""

import inspect

import pytest

from moesif_middleware.api import AsyncManagementClient, ManagementClient
from tests.collector.conftest import KEY, event, serving, settings
from tests.collector.test_management import FILE, METER, SERVED, STEPS, UNLIKE_THE_FILE, normal, the_group_s_id

from .conftest import making, settle
from .stub import schema_of
from .test_operations import EXAMPLES, RENAMED, walked  # noqa: F401  # the fixture

NAMES = {wire: name for name, wire in RENAMED.items()}


@pytest.fixture
def live(tmp_path):
    with serving(settings(tmp_path)) as running:
        sent = event(transaction_id="event-1", user_id="a/b", company_id="c1", response={"status": 500})
        running.collector.post("/v1/events", json=sent).raise_for_status()
        yield running


@pytest.fixture
async def client(variant, live):
    kind = ManagementClient if variant == "sync" else AsyncManagementClient
    async for make in making(kind, live.url, KEY):
        yield make()


def arguments(step, method, kept):
    """Return what a method takes for a step: the ids of the path and the body in order, the query by name."""
    path = step.operation.partition(" ")[2]
    blanks = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    given = [blank_of(step, path, blank, kept) for blank in blanks]
    if step.body is not None:
        given.append(
            {**step.body, "workspace_ids": [[kept["workspace"]]]} if "workspace_ids" in step.body else step.body
        )
    taken = inspect.signature(method).parameters
    anything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values())
    query = {NAMES.get(name, name): value for name, value in step.query.items()}
    if "access" in query:
        query["access"] = [query["access"]]
    query = {name: value == "true" if value in ("true", "false") else value for name, value in query.items()}
    return given, {name: value for name, value in query.items() if anything or name in taken}


def blank_of(step, path, blank, kept):
    if blank in step.blanks:
        return step.blanks[blank].replace("%2F", "/")
    return kept["comment"] if blank == "commentId" else the_group_s_id(path, kept)


async def test_every_served_operation_succeeds_through_its_method(client, live, walked):  # noqa: F811
    """Created, listed, read, changed and deleted; what comes back fits the file's schema."""
    kept = {"meter": live.management.post("/v1/~/billing/meters", json=METER).json()["_id"]}
    called = set()
    for step in STEPS:
        (name,) = [name for name, *_ in walked[step.operation] if not name.endswith(".iterate")]
        group, _, own = name.partition(".")
        method = getattr(getattr(client, group), own)
        given, query = arguments(step, method, kept)
        answer = await settle(method(*given, **query))
        called.add(step.operation)
        schema = schema_of(next(iter(FILE[step.operation]["responses"].values())))
        if schema is not None and answer is not None and step.operation not in UNLIKE_THE_FILE:
            assert EXAMPLES.errors(schema, answer) == [], step.operation
        if step.keep:
            kept[step.keep] = answer.get("comment_id") or answer.get("_id") or answer["id"]
    assert {key for key in FILE if not SERVED[normal(key)].why_not} == called
