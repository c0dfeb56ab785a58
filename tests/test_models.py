"""The wire model as Python values: compared by their fields, shown with all of them, and no keys of a map."""

from __future__ import annotations

import pytest

from moesif_middleware import Action, Campaign, Company, EventRequest, User


def test_models_are_equal_when_their_class_and_all_values_are() -> None:
    """As dataclasses are, whose comparison is written once for all of them."""
    nan = float("nan")
    assert User("u", metadata={"a": [1, nan]}) == User("u", metadata={"a": [1, nan]})
    assert User("u", campaign=Campaign("x")) == User("u", campaign=Campaign("x"))
    assert User("u") != User("u", company_id="c")
    assert Company("u") != User("u")
    assert User("u") != "u"


def test_a_model_shows_every_field_also_when_it_holds_itself() -> None:
    """A mask hook that prints an event sees all of it."""
    request = EventRequest(1.5, "http://h/", "GET")
    assert repr(request) == (
        "EventRequest(time=1.5, uri='http://h/', verb='GET', headers={}, ip_address=None, api_version=None, body=None,"
        " transfer_encoding=None)"
    )
    request.body = [request]
    assert "body=[...]" in repr(request)


def test_what_can_change_has_no_hash() -> None:
    """A key of a map that changes would be lost in it."""
    with pytest.raises(TypeError, match="unhashable type: 'Action'"):
        hash(Action("Signed Up"))
