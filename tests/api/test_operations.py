"""The management client against the OpenAPI file: one method per operation, and each call as the file wants it."""

import asyncio
import inspect

import pytest

from moesif_middleware.api import AsyncManagementClient, ManagementClient
from moesif_middleware.api._async.transport import AsyncTransport
from moesif_middleware.api.calls import Reply
from scripts.api_types import class_name

from .conftest import settle
from .stub import Examples, document, operations, schema_of

SOURCE = document()
EXAMPLES = Examples(SOURCE)
OPERATIONS = {f"{verb} {path}": found for verb, path, found in operations(SOURCE)}
IN_THE_FILE = 87
KEYSTORE = 3

# The reference has it, the file has not.
REFERENCE_ONLY = {"POST /~/{app_id}/{entity}/promotedashboard/{dashId}"}

# What the Python names stand for.
RENAMED = {"from_": "from", "type_": "type"}


def methods(client):
    """Yield (group, name, method) for each endpoint of a client."""
    for group, value in vars(client).items():
        if not group.startswith("_"):
            for name, method in inspect.getmembers(value, inspect.ismethod):
                if not name.startswith("_"):
                    yield group, name, method


class Recorder:
    """A transport that keeps the operation a group asked for, before its blanks are filled in."""

    def __init__(self, monkeypatch):
        self.asked = []

        async def call(group, answer, operation, body=None, *, repeatable=None, **parameters):
            self.asked.append((operation, set(parameters), body is not None, repeatable))
            return {"hits": {"hits": []}}

        monkeypatch.setattr("moesif_middleware.api._async.group.AsyncGroup._call", call)


def arguments(method):
    """Arguments of every kind that a method takes, so that each parameter shows up in the call."""
    found = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= {"from_": "-1d", "to": "now", "app_id": "app"}
        elif name in {"body", "where"}:
            found[name] = {"match_all": {}}
        elif "Iterable" in str(parameter.annotation):
            found[name] = []
        else:
            found[name] = "now" if name in {"from_", "to", "event_time", "expiration"} else "x"
    return found


async def walk(monkeypatch):
    """Return for each operation the methods that ask for it, with the parameters and the body they give it."""
    recorder = Recorder(monkeypatch)
    found = {}
    for group, name, method in methods(AsyncManagementClient("key")):
        recorder.asked.clear()
        await settle(method(**arguments(method)))
        (asked,) = recorder.asked
        found.setdefault(asked[0], []).append((f"{group}.{name}", *asked[1:]))
    return found


@pytest.fixture(scope="module")
def walked():
    with pytest.MonkeyPatch.context() as patch:
        return asyncio.run(walk(patch))


def test_there_is_exactly_one_method_per_operation(walked):
    """iterate pages through a search, and is the one method that shares its operation."""
    assert len(OPERATIONS) == IN_THE_FILE + KEYSTORE
    assert set(walked) == set(OPERATIONS) | REFERENCE_ONLY
    for operation, asking in walked.items():
        names = [name for name, *_ in asking if not name.endswith(".iterate")]
        assert len(names) == 1, (operation, names)


def test_each_method_gives_its_operation_the_parameters_of_the_file(walked):
    """Path and query parameters carry the file's names, and there is a body exactly where the file has one."""
    for operation, asking in walked.items():
        if operation in REFERENCE_ONLY:
            continue
        wanted = {item["name"] for item in OPERATIONS[operation]["parameters"]}
        for name, parameters, body, _ in asking:
            assert {RENAMED.get(item, item) for item in parameters} == wanted, name
            assert body == ("requestBody" in OPERATIONS[operation]), name


def test_only_reads_and_upserts_are_repeated_when_posted(walked):
    """What creates a document might create two when its answer was lost."""
    repeated = {operation for operation, asking in walked.items() for _, _, _, repeatable in asking if repeatable}
    reads = {item for item in OPERATIONS if "/count/" in item or item.endswith(("/search", "/users", "/companies"))}
    upserts = {item for item in OPERATIONS if item.startswith("POST /search/~/") and "search/" not in item[15:]}
    assert repeated == {item for item in reads | upserts if item.startswith("POST /search/~/")} | {
        "POST /search/~/search/events"
    }


def test_both_variants_have_the_same_endpoints():
    """The synchronous client is generated, and has the parameters of the asynchronous one."""
    written = {(group, name): parameters(method) for group, name, method in methods(AsyncManagementClient("key"))}
    generated = {(group, name): parameters(method) for group, name, method in methods(ManagementClient("key"))}
    assert written == generated


def parameters(method):
    return [str(parameter) for parameter in inspect.signature(method).parameters.values()]


# What a method's answer is called where the file says something else, or something better than the file is known.
ANSWERS = {
    "EventSearch": "SearchEventsResponseDTO",
    "UserSearch": None,
    "CompanySearch": None,
    "CountAnswer": "dict[str, Any]",
    "Document": "dict[str, Any]",
}


def test_each_answer_has_the_type_that_the_file_gives_it(walked):
    """TypedDicts carry the names of the schemas; a DELETE and a 204 give None, an answer without schema gives Any."""
    client = AsyncManagementClient("key")
    for operation, asking in walked.items():
        for name, *_ in asking:
            if operation in REFERENCE_ONLY or name.endswith(".iterate"):
                continue
            group, _, own = name.partition(".")
            annotation = str(inspect.signature(getattr(getattr(client, group), own)).return_annotation)
            annotation = annotation.replace("builtins.", "")
            assert ANSWERS.get(annotation, annotation) == wanted_answer(operation), name


def wanted_answer(operation):
    if operation == "GET /~/governance/rules":  # the file has one rule, servers answer the list of them
        return "list[GovernanceRulesDocument]"
    status, described = next(iter(OPERATIONS[operation]["responses"].items()))
    schema = schema_of(described)
    if schema is None and operation.startswith(("POST /search/~/search/user", "POST /search/~/search/company")):
        return None
    if schema is None:
        return "None" if operation.startswith("DELETE") or status == "204" else "Any"
    return written(schema)


def written(schema):
    if schema.get("type") == "array":
        return f"list[{written(schema['items'])}]"
    name = schema["$ref"].rpartition("/")[2]
    return "dict[str, Any]" if name == "object" else class_name(name)


def plausible(operation, method, app_id="text"):
    """Arguments for a method that the file accepts: examples of its parameters and of its body."""
    found = OPERATIONS[operation]
    schemas = {item["name"]: item["schema"] for item in found["parameters"]}
    given = {}
    for name, parameter in inspect.signature(method).parameters.items():
        wire = RENAMED.get(name, name)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD or name == "where":
            continue
        if name == "app_id" and parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            given[name] = app_id
        elif wire in schemas:
            given[name] = EXAMPLES.example(schemas[wire])
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY or parameter.annotation == "str":
            given[name] = "some/id"
        else:
            body = EXAMPLES.example(schema_of(found["requestBody"]))
            given[name] = [body] if "Iterable" in str(parameter.annotation) and isinstance(body, dict) else body
    return given


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
async def test_every_call_is_accepted_and_its_answer_returned(operation, management, stub, walked):
    """The stub refuses a path, a parameter or a body that is not in the file."""
    names = [name for name, *_ in walked[operation] if not name.endswith(".iterate")]
    group, _, name = names[0].partition(".")
    method = getattr(getattr(management(), group), name)
    answer = await settle(method(**plausible(operation, method)))
    status, described = next(iter(OPERATIONS[operation]["responses"].items()))
    schema = schema_of(described)
    assert answer == (None if schema is None or status == "204" else EXAMPLES.example(schema))
    assert stub.requests[-1].verb == operation.partition(" ")[0]


async def test_a_dashboard_is_promoted_as_the_reference_says(monkeypatch):
    """The operation is missing from the file, and the application is part of its path."""
    sent = []

    async def send(transport, call):
        sent.append(call)
        return Reply(200, {}, b"")

    monkeypatch.setattr(AsyncTransport, "send", send)
    await AsyncManagementClient("key", app_id="a:1").dashboards.promote("d1", entity="user")
    assert (sent[0].verb, sent[0].path) == ("POST", "/~/a%3A1/user/promotedashboard/d1")
