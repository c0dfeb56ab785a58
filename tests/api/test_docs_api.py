"""The pages of docs/api: their examples run, and their tables name every method with its operation."""

import re
from pathlib import Path

import pytest

from moesif_middleware.api import AsyncManagementClient, CollectorClient

from .live import APP, collecting
from .stub import KEY
from .test_operations import methods, walked  # noqa: F401  # the fixture

PAGES = sorted((Path(__file__).parents[2] / "docs" / "api").glob("*.md"))
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with collecting(tmp_path_factory.mktemp("collector")) as (url, _):
        yield url


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_run(page, url, live, stub):
    """In the order of the page: against the stub of the Management API, and the collector itself."""
    blocks = BLOCK.findall(page.read_text())
    assert blocks
    if page.stem in {"README", "search"}:
        answer_two_pages(stub)
    names = {}
    for block in blocks:
        block = block.replace('"YOUR_MANAGEMENT_KEY"', f'"{KEY}", base_url="{url}/v1"')
        block = block.replace('"YOUR_APPLICATION_ID"', f'"{APP}", base_url="{live}/v1"')
        exec(compile(block, str(page), "exec"), names)


def answer_two_pages(stub):
    """The stub's example has one sort key whatever was asked: a page that leads on, and the end."""
    hit = b'{"_id": "e1", "sort": [1, "e1"], "_source": {"request": {"uri": "https://api.example.com/"}}}'
    stub.answer_next(200, b'{"count": 7}')
    stub.answer_next(201, b'{"hits": {"hits": [' + hit + b"]}}")
    stub.answer_next(201, b'{"hits": {"hits": []}}')


def test_every_method_is_in_the_table_of_its_group(walked):  # noqa: F811
    """With the operation that it calls."""
    pages = {page.stem: page.read_text() for page in PAGES}
    for operation, asking in walked.items():
        for name, *_ in asking:
            group, _, own = name.partition(".")
            row = re.escape(f"| `{own}(") + r"[^|]*\| " + re.escape(f"`{operation}`")
            assert re.search(row, pages[group.replace("_", "-")]), name


def test_every_collector_call_is_in_its_table():
    """One row per group, both calls in it."""
    page = next(page for page in PAGES if page.stem == "collector").read_text()
    for group, name, _ in methods(CollectorClient("id")):
        assert f"`{group}.{name}(" in page
    for name in ("config", "rules", "traces", "logs"):
        assert f"`{name}(" in page


def test_every_group_is_in_the_overview():
    """With its page."""
    overview = next(page for page in PAGES if page.stem == "README").read_text()
    for group in {group for group, *_ in methods(AsyncManagementClient("key"))}:
        assert f"`client.{group}`" in overview
        assert f"({group.replace('_', '-')}.md)" in overview
