"""Workspaces and dashboards: who sees them, and what is copied and deleted with them."""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest

from moesif_middleware.collector import tokens

from .conftest import APP, KEY, OTHER_APP, Running, event, moment

WORKSPACES, DASHBOARDS = "/v1/~/workspaces", "/v1/~/dashboards"
ERRORS: dict[str, Any] = {"query": {"range": {"response.status": {"gte": 500}}}}
WORKSPACE: dict[str, Any] = {
    "name": "Errors",
    "chart": {"url_query": "", "view": "bar", "es_query": ERRORS},
    "policy": {"acl": [], "resource": {}},
}
EVERYBODY = {"acl": [{"grantee": "*", "permission": "read"}], "resource": {}}


def make(running: Running, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
    """Create a document and return it."""
    answer = running.management.post(path, json=body, params=query)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_token_of_a_public_workspace_opens_it_and_nothing_else(running: Running) -> None:
    """It reads public workspaces and searches through them; every other call refuses it, and a changed one."""
    public = make(running, WORKSPACES, {**WORKSPACE, "policy": EVERYBODY})
    private = make(running, WORKSPACES, WORKSPACE)
    running.collector.post("/v1/events/batch", json=[event(), event(response={"status": 503})])
    token = running.management.get("/v1/workspaces/access_token").json()["token"]
    headers = {"Authorization": f"Bearer {token}"}

    def get(path: str) -> Any:
        return running.anonymous.get(path, headers=headers)

    assert get(f"/v1/workspaces/public/{public['_id']}").json()["view_count"] == 1
    assert get(f"/v1/workspaces/public/{private['_id']}").status_code == 404
    search = f"/v1/search/~/workspaces/{public['_id']}/search?from=-1d&to=now"
    found = running.anonymous.post(search, headers=headers, json={"size": 10})
    assert found.status_code == 201
    (hit,) = found.json()["hits"]["hits"]
    assert (hit["_source"]["response"]["status"], "headers" in hit["_source"]["request"]) == (503, False)
    found = running.anonymous.post(f"{search}&include_details=true", headers=headers, json={"size": 10})
    assert "headers" in found.json()["hits"]["hits"][0]["_source"]["request"]
    for _ in range(500):
        last = get(f"/v1/workspaces/public/{public['_id']}")
    # A minute may have ended on the way. Its guests do not spend the rate of the key that made the token.
    assert last.status_code in (200, 429)
    assert running.management.get(WORKSPACES).status_code == 200
    for path in (f"{WORKSPACES}/{public['_id']}", "/v1/~/cohorts", "/v1/~/apps", "/v1/workspaces/access_token"):
        assert get(path).status_code == 401
    # The last character has bits that decode to nothing: one in the middle is changed.
    headers["Authorization"] = f"Bearer {token[:20]}{'A' if token[20] != 'A' else 'B'}{token[21:]}"
    assert get(f"/v1/workspaces/public/{public['_id']}").status_code == 401


def test_a_token_opens_the_workspaces_of_its_own_application(running: Running) -> None:
    """Whatever ``app_id`` its holder asks for."""
    mine, other = (
        make(running, WORKSPACES, {**WORKSPACE, "policy": EVERYBODY}, app_id=app)["_id"] for app in (APP, OTHER_APP)
    )
    token = running.management.get("/v1/workspaces/access_token", params={"app_id": OTHER_APP}).json()["token"]
    for asked in ({}, {"app_id": APP}):
        found = [
            running.anonymous.get(
                f"/v1/workspaces/public/{key}", params=asked, headers={"Authorization": f"Bearer {token}"}
            ).status_code
            for key in (mine, other)
        ]
        assert found == [404, 200]


@pytest.mark.parametrize(
    ("key", "claims", "good"),
    [
        (KEY, {"app": APP, "expires": 101}, True),
        (KEY, {"app": APP, "expires": 100}, False),
        ("another key", {"app": APP, "expires": 101}, False),
    ],
)
def test_a_token_is_good_until_it_expires_and_while_its_key_is_known(
    key: str, claims: dict[str, Any], good: bool
) -> None:
    """Nothing of it is stored."""
    found = tokens.verified(tokens.sign(key, claims), (KEY, "other"), now=100)
    assert found == ((KEY, claims) if good else None)


@pytest.mark.parametrize("token", ["", "a.b", "mmw1..", "mmw1.e30.\xff", "mmw1.***." + "0" * 64, "x" * 5000])
def test_what_is_no_token_is_refused(token: str) -> None:
    """Whatever it is."""
    assert tokens.verified(token, (KEY,), now=0) is None


def test_a_workspace_is_public_until_its_expiration(running: Running) -> None:
    """Then it is gone: 410 (reference, "Errors")."""
    lasting = make(running, WORKSPACES, WORKSPACE, expiration="+1d")
    assert running.management.get(f"/v1/workspaces/public/{lasting['_id']}").status_code == 200
    for ended in (moment(5), "1960-01-01"):
        expired = make(running, WORKSPACES, {**WORKSPACE, "policy": EVERYBODY}, expiration=ended)
        assert running.management.get(f"/v1/workspaces/public/{expired['_id']}").status_code == 410


ENCODED = b64encode(orjson.dumps(ERRORS)).decode()


@pytest.mark.parametrize(
    ("chart", "statuses"),
    [
        ({"es_query": ERRORS}, [503]),
        ({"es_query": {"post_filter": ERRORS["query"]}}, [503]),
        ({"original_encoded_query": orjson.dumps(ERRORS).decode()}, [503]),
        ({"original_encoded_query": ENCODED}, [503]),
        ({"original_encoded_query": "what?"}, None),
        ({"es_query": {}}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"query": {"match_all": {}}},
        {"post_filter": {"match_all": {}}},
        {"query": {"bool": {"should": [{"match_all": {}}]}}, "aggs": {"n": {"value_count": {"field": "weight"}}}},
    ],
)
def test_a_public_search_sees_no_more_than_what_is_saved(
    shared: Running, chart: dict[str, Any], statuses: list[int] | None, asked: dict[str, Any]
) -> None:
    """Whatever a guest asks for beside it; without a saved search there is nothing to see."""
    events = [event(transaction_id="good"), event(transaction_id="bad", response={"status": 503})]
    shared.collector.post("/v1/events/batch", json=events)
    chart = {"url_query": "", "view": "bar", **chart}
    made = make(shared, WORKSPACES, {**WORKSPACE, "chart": chart, "policy": EVERYBODY})
    search = f"/v1/search/~/workspaces/{made['_id']}/search?from=-1d&to=now"
    answer = shared.management.post(search, json=asked)
    if statuses is None:
        assert answer.status_code == 404
        return
    found = answer.json()
    assert [hit["_source"]["response"]["status"] for hit in found["hits"]["hits"]] == statuses
    assert found.get("aggregations", {"n": {"value": 1}}) == {"n": {"value": 1}}


def test_a_list_asks_for_access_and_type_and_goes_back_in_pages(running: Running) -> None:
    """Newest first; ``before_id`` goes on from there."""
    ids = [make(running, WORKSPACES, {**WORKSPACE, "type": "sequence"})["_id"] for _ in range(3)]
    public = make(running, WORKSPACES, {**WORKSPACE, "policy": EVERYBODY})["_id"]

    def listed(**query: Any) -> list[str]:
        return [each["_id"] for each in running.management.get(WORKSPACES, params=query).json()]

    assert sorted(listed(take=10)) == sorted([*ids, public])
    assert listed(take=10, access="public") == [public]
    assert sorted(listed(access=["private", "read"], type="sequence")) == sorted(ids)
    first = listed(take=3)
    assert sorted(first + listed(take=3, before_id=first[-1])) == sorted([*ids, public])
    assert running.management.get(WORKSPACES, params={"take": "many"}).status_code == 400


def test_comments_are_kept_with_their_workspace(running: Running) -> None:
    """The workspace has their number and the latest."""
    path = f"{WORKSPACES}/{make(running, WORKSPACES, WORKSPACE)['_id']}"
    first, second = (make(running, f"{path}/comments", {"message": text}) for text in ("one", "two"))
    changed = make(running, f"{path}/comments/{first['comment_id']}", {"message": "uno"})
    assert (changed["message"], changed["created_at"]) == ("uno", first["created_at"])
    assert [each["message"] for each in running.management.get(f"{path}/comments").json()] == ["uno", "two"]
    assert running.management.get(path).json()["comments"]["summary"] == {"count": 2, "latest_comment": second}
    assert running.management.delete(f"{path}/comments/{second['comment_id']}").status_code == 204
    assert running.management.delete(f"{path}/comments/{second['comment_id']}").status_code == 404
    assert running.management.get(path).json()["comments"]["summary"]["count"] == 1
    running.management.post(path, json={"comments": {"summary": {"count": 9}}, "name": "new"})
    assert running.management.get(path).json()["comments"]["summary"]["count"] == 1


def test_changes_of_one_document_at_once_are_all_kept(running: Running) -> None:
    """Each is made to what the one before left."""
    path = f"{WORKSPACES}/{make(running, WORKSPACES, WORKSPACE)['_id']}/comments"
    texts = {f"comment {number}" for number in range(32)}
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda text: make(running, path, {"message": text}), texts))
    assert {each["message"] for each in made} == texts
    assert {each["message"] for each in running.management.get(path).json()} == texts


def test_nothing_that_is_posted_makes_a_workspace_public_for_a_time(running: Running) -> None:
    """The query parameter ``expiration`` of its creation does."""
    posted = {**WORKSPACE, "expiration": "2099-01-01T00:00:00.000Z"}
    key = make(running, WORKSPACES, posted)["_id"]
    assert running.management.post(f"{WORKSPACES}/{key}", json={"expiration": posted["expiration"]}).status_code == 200
    assert running.management.get(f"/v1/workspaces/public/{key}").status_code == 404


def tree(running: Running) -> tuple[dict[str, Any], list[str]]:
    """Make a dashboard over another that points back at it; both show a workspace, and a third shows one of them."""
    shared, own = (make(running, WORKSPACES, WORKSPACE)["_id"] for _ in range(2))
    root = make(running, DASHBOARDS, {"name": "root", "workspace_ids": [[shared, "gone"]]})
    child = make(running, DASHBOARDS, {"name": "child", "parent": root["_id"], "workspace_ids": [[own]]})
    back = {"dashboard_ids": [root["_id"]]}
    running.management.post(f"{DASHBOARDS}/{child['_id']}", json=back)
    make(running, DASHBOARDS, {"name": "other", "workspace_ids": [[shared]]})
    return root, [shared, own]


def test_a_copy_refers_to_its_own_copies(running: Running) -> None:
    """In another application; what is not there any more is left out, and a circle is no trap."""
    root, _ = tree(running)
    copy = make(running, f"/v1/~/dashboard/{root['_id']}/copy", to_app_id=OTHER_APP)
    there = {each["name"]: each for each in running.management.get(DASHBOARDS, params={"app_id": OTHER_APP}).json()}
    assert set(there) == {"root", "child"}
    assert (there["root"], copy["app_id"]) == (copy, OTHER_APP)
    assert there["child"]["parent"] == copy["_id"] != root["_id"]
    assert there["child"]["dashboard_ids"] == [copy["_id"]]
    workspaces = running.management.get(WORKSPACES, params={"app_id": OTHER_APP, "access": "private"}).json()
    shown = {*copy["workspace_ids"][0], *there["child"]["workspace_ids"][0]}
    assert {each["_id"] for each in workspaces} == shown
    assert len(shown) == 2
    assert len(make(running, f"{DASHBOARDS}/copy", to_app_id=APP)) == 3
    assert running.management.post(f"{DASHBOARDS}/copy").status_code == 400
    assert running.management.post(f"{DASHBOARDS}/copy", params={"to_app_id": "nobody"}).status_code == 404


def test_a_cascade_takes_what_nobody_else_shows(running: Running) -> None:
    """The dashboards below go, and their workspaces but for those on other dashboards."""
    root, (shared, own) = tree(running)
    assert running.management.delete(f"{DASHBOARDS}/{root['_id']}/cascade").status_code == 200
    assert [each["name"] for each in running.management.get(DASHBOARDS).json()] == ["other"]
    assert [running.management.get(f"{WORKSPACES}/{key}").status_code for key in (shared, own)] == [200, 404]
    assert running.management.delete(f"{DASHBOARDS}/{root['_id']}/cascade").status_code == 404


def test_a_dashboard_leaves_its_parent(running: Running) -> None:
    """``DELETE /~/dashboard/{id}?parent_id=`` takes it out of the parent too."""
    child = make(running, DASHBOARDS)
    parent = make(running, DASHBOARDS, {"dashboard_ids": [child["_id"], "x"]})
    path = f"/v1/~/dashboard/{child['_id']}"
    assert running.management.delete(path, params={"parent_id": parent["_id"]}).status_code == 200
    assert [each["dashboard_ids"] for each in running.management.get(DASHBOARDS).json()] == [["x"]]


def test_one_dashboard_at_a_time_is_on_the_profile_pages(running: Running) -> None:
    """Of an entity; another entity has its own (reference, "Select Profile View Dashboard")."""
    first, second = (make(running, DASHBOARDS)["_id"] for _ in range(2))
    for entity, key in (("users", first), ("companies", first), ("users", second)):
        answer = running.management.post(f"/v1/~/{APP}/{entity}/promotedashboard/{key}")
        assert (answer.status_code, answer.json()["profile_view_promotion"]) == (200, entity)
    found = {each["_id"]: each.get("profile_view_promotion") for each in running.management.get(DASHBOARDS).json()}
    assert found == {first: "companies", second: "users"}


def test_a_grant_replaces_and_a_revocation_takes_away(running: Running) -> None:
    """The same for workspaces and dashboards."""
    for path in (WORKSPACES, DASHBOARDS):
        acl = f"{path}/{make(running, path, WORKSPACE)['_id']}/policy/acl"
        for permission in ("read", "write"):
            answer = running.management.post(acl, params={"grantee": "team", "permission": permission})
        assert answer.json()["policy"]["acl"] == [{"grantee": "team", "permission": "write"}]
        assert running.management.post(acl).status_code == 400
        assert running.management.delete(acl, params={"grantee": "team"}).json()["policy"]["acl"] == []
        assert running.management.delete(acl, params={"grantee": "team"}).status_code == 404


def test_null_takes_away_no_field_that_every_document_has(running: Running) -> None:
    """It gets its first value again: the calls that read it, which may be those of other documents, go on."""
    viewed = make(running, WORKSPACES, {**WORKSPACE, "policy": EVERYBODY, "view_count": None})
    public = f"/v1/workspaces/public/{viewed['_id']}"
    assert [running.management.get(public).json()["view_count"] for _ in range(2)] == [1, 2]
    changed = running.management.post(f"{WORKSPACES}/{viewed['_id']}", json={"view_count": None})
    assert changed.json()["view_count"] == 0
    assert running.management.post(f"{WORKSPACES}/{viewed['_id']}", json={"view_count": "x"}).status_code == 400
    lists = {"dashboard_ids": None, "workspace_ids": None}
    board = make(running, DASHBOARDS, {"name": "d", **lists})
    changed = running.management.post(f"{DASHBOARDS}/{board['_id']}", json=lists)
    assert (changed.json()["dashboard_ids"], changed.json()["workspace_ids"]) == ([], [])
    make(running, f"/v1/~/dashboard/{board['_id']}/copy")
    assert running.management.delete(f"{DASHBOARDS}/{board['_id']}/cascade").status_code == 200
