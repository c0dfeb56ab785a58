"""What is generated is what the generators would write now."""

import pytest

from scripts import api_types, unasync


def test_types_are_those_of_the_openapi_file():
    """python -m scripts.api_types brings them up to date."""
    assert api_types.TARGET.read_text() == api_types.render(api_types.load())


@pytest.mark.parametrize("source", sorted(unasync.SOURCE.glob("*.py")), ids=lambda path: path.name)
def test_synchronous_module_is_the_translated_asynchronous_one(source):
    """python -m scripts.unasync brings them up to date."""
    assert (unasync.TARGET / source.name).read_text() == unasync.translate(source.read_text(), source.name)


def test_no_synchronous_module_is_without_a_source():
    """A module that is gone from _async leaves nothing behind."""
    assert {path.name for path in unasync.TARGET.glob("*.py")} == {path.name for path in unasync.SOURCE.glob("*.py")}


def test_no_trace_of_asyncio_is_left():
    """The translation knows every asynchronous word that the sources use."""
    for path in unasync.TARGET.glob("*.py"):
        code = path.read_text().partition("\n")[2]
        assert not [word for word in ("async ", "await", "asyncio", "Async", "aclose") if word in code], path.name
