"""The page in a real headless Chromium, in front of a real collector. A missing browser is a failure, not a skip."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.browser import Tab, browser

from .serving import Served, event, serving

HOSTILE = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("page"), tuple(f"app-{number}" for number in range(40))) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(served: Served) -> Iterator[Tab]:
    with browser() as tab:
        tab.size(1440, 900)
        tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        yield tab


_apps = iter(range(1, 40))


@pytest.fixture
def app(served: Served) -> str:
    """An application of this test alone, so that tests share one collector and see only their own events."""
    return served.apps[next(_apps)]


@pytest.fixture
def tab(chromium: Tab) -> Iterator[Tab]:
    """The browser's page; whatever a test did, the console stayed clean."""
    chromium.errors.clear()
    yield chromium
    chromium.evaluate("1")
    assert chromium.errors == []
    chromium.open("about:blank")


def show(tab: Tab, served: Served, app: str, **query: str) -> None:
    address = "&".join(f"{name}={value}" for name, value in {"app": app, **query}.items())
    tab.open(f"{served.url}/?{address}")
    tab.wait("document.querySelector('#connection').dataset.state === 'live'")


PATHS = "[...document.querySelectorAll('#rows tr[data-id] .c-uri a')].map(a => a.textContent)"


def paths(tab: Tab) -> list[str]:
    found: list[str] = tab.evaluate(PATHS)
    return found


def wait_for_paths(tab: Tab, expected: list[str]) -> None:
    tab.wait(f"JSON.stringify({PATHS}) === JSON.stringify({json.dumps(expected)})")


def texts(tab: Tab, selector: str) -> list[str]:
    found: list[str] = tab.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(n => n.textContent)")
    return found


def test_an_empty_page_says_why_and_what_to_do(tab: Tab, served: Served, app: str) -> None:
    show(tab, served, app)
    said = tab.evaluate("document.querySelector('#empty').textContent")
    assert "No events yet" in said
    assert f'application_id="{app}"' in said
    assert f'base_uri="{served.url}"' in said
    served.send(app, event("/first"))
    wait_for_paths(tab, ["/first"])
    assert tab.evaluate("document.querySelector('#empty').hidden")


def test_events_show_up_by_themselves_newest_first(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/old"))
    show(tab, served, app)
    wait_for_paths(tab, ["/old"])
    served.send(app, event("/newer"), event("/newest", "POST", 503, user_id="u7", company_id="acme", took=1500))
    wait_for_paths(tab, ["/newest", "/newer", "/old"])
    cells = tab.evaluate("[...document.querySelector('#rows tr[data-id]').cells].map(c => c.textContent)")
    assert cells[1:] == ["POST", "/newest", "503", "1.50 s", "u7", "acme"]
    tab.wait("document.querySelector('#announce').textContent.includes('2 new events')")


def test_a_paused_page_stands_still_and_catches_up(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/one"))
    show(tab, served, app)
    wait_for_paths(tab, ["/one"])
    tab.press("p")
    served.send(app, event("/two"), event("/three"))
    tab.wait("document.querySelector('#pause').textContent === 'Resume (2 new)'")
    assert paths(tab) == ["/one"]
    tab.click("#pause")
    wait_for_paths(tab, ["/three", "/two", "/one"])


def test_filters_live_in_the_address(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/a"), event("/b", status=404), event("/c", "POST", 500, user_id="u1"))
    show(tab, served, app)
    wait_for_paths(tab, ["/c", "/b", "/a"])
    tab.click("#statuses button[value='4xx']")
    wait_for_paths(tab, ["/b"])
    assert tab.evaluate("new URLSearchParams(location.search).get('q')") == "status:4xx"
    assert tab.evaluate("document.querySelector('#filter').value") == "status:4xx"
    tab.evaluate("history.back()")
    wait_for_paths(tab, ["/c", "/b", "/a"])
    tab.press("/")
    tab.type("user:u1 verb:post")
    wait_for_paths(tab, ["/c"])
    served.send(app, event("/d"), event("/e", "POST", user_id="u1"))
    wait_for_paths(tab, ["/e", "/c"])
    show(tab, served, app, q="route:/b")
    wait_for_paths(tab, ["/b"])
    assert tab.evaluate("document.querySelector('#filter').value") == "route:/b"


def test_a_filter_that_is_not_understood_is_explained(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/a"))
    show(tab, served, app)
    tab.press("/")
    tab.type("colour:red")
    tab.wait("document.querySelector('#filter-error').textContent.includes('colour:red')")
    # The browser itself writes an answer of 400 to the console; nothing else may be there.
    tab.evaluate("1")
    assert all("400" in error for error in tab.errors)
    tab.errors.clear()


def test_a_filter_without_a_match_offers_to_clear_it(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/a"))
    show(tab, served, app, q="status:5xx")
    tab.wait("document.querySelector('#empty').textContent.includes('No event matches')")
    tab.click("#clear")
    wait_for_paths(tab, ["/a"])


def whole_event() -> dict[str, Any]:
    return event(
        "/items/7?colour=light%20blue",
        "PUT",
        201,
        transaction_id=f"whole-{time.time_ns()}",
        user_id="u1",
        company_id="acme",
        request={
            "body": {"name": HOSTILE, "big": 9007199254740993, "deep": {"a": {"b": [1, 2.5, None, True]}}},
            "transfer_encoding": "json",
            "headers": {"Host": "api.example.com", "Authorization": "[REDACTED:authorization]", "X-Note": HOSTILE},
        },
        response={"body": base64.b64encode(b"plain text \xe2\x82\xac").decode(), "transfer_encoding": "base64"},
        metadata={"region": "eu", HOSTILE: HOSTILE},
    )


def test_one_event_shows_request_and_response_side_by_side(tab: Tab, served: Served, app: str) -> None:
    sent = whole_event()
    served.send(app, sent)
    show(tab, served, app)
    tab.click("#rows tr[data-id] .c-uri")
    tab.wait("document.querySelectorAll('#detail .side').length === 2")
    boxes = tab.evaluate("[...document.querySelectorAll('#detail .side')].map(s => [s.offsetLeft, s.offsetTop])")
    assert boxes[0][1] == boxes[1][1]
    assert boxes[0][0] < boxes[1][0]
    assert texts(tab, "#detail h3") == ["Request", "Response"]
    request, response = texts(tab, "#detail .side")
    assert "light blue" in request
    assert "[REDACTED:authorization]" in request
    assert "9007199254740993" in request
    assert "plain text €" in response
    assert "[REDACTED:authorization]" in texts(tab, "#detail .redacted")
    facts = tab.evaluate("document.querySelector('.facts').textContent")
    assert "u1" in facts
    assert "acme" in facts
    assert sent["transaction_id"] in facts
    assert tab.evaluate("new URLSearchParams(location.search).get('event')") == sent["transaction_id"]


def test_captured_markup_stays_text(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event(f"/{HOSTILE}", user_id=HOSTILE, company_id=HOSTILE), whole_event())
    show(tab, served, app)
    for key in ("j", "Enter", "j"):
        tab.press(key)
        time.sleep(0.3)
    tab.wait("document.querySelectorAll('#detail .side').length === 2")
    tab.press("k")
    tab.wait("document.querySelector('#detail-title').textContent.includes('/items/7')")
    tab.evaluate("for (const d of document.querySelectorAll('#detail details')) d.open = true")
    assert HOSTILE in tab.evaluate("document.querySelector('#detail').textContent")
    assert HOSTILE in texts(tab, "#rows .c-user")
    assert tab.evaluate("window.pwned === undefined")
    assert tab.evaluate("document.querySelectorAll('main script, main img').length") == 0


def test_json_is_a_tree_that_opens_and_closes(tab: Tab, served: Served, app: str) -> None:
    body = {"items": [{"id": number} for number in range(250)], "done": True}
    served.send(app, event(response={"body": body, "transfer_encoding": "json"}, transaction_id=f"t-{app}"))
    show(tab, served, app, event=f"t-{app}")
    tab.wait("!!document.querySelector('#detail .response .tree')")
    assert "250 items" in tab.evaluate("document.querySelector('#detail .response .tree').textContent")
    leaves = "document.querySelectorAll('#detail .response .tree .leaf').length"
    assert tab.evaluate(leaves) == 1
    tab.click("#detail .response .children summary")
    tab.wait("document.querySelectorAll('#detail .response .children .children > details').length === 100")
    assert "Show 100 more of 150" in tab.evaluate("document.querySelector('#detail .response .tree').textContent")
    tab.evaluate("[...document.querySelectorAll('.response .tab')].find(b => b.textContent === 'Expand').click()")
    tab.wait(f"{leaves} > 100")
    tab.evaluate("[...document.querySelectorAll('.response .tab')].find(b => b.textContent === 'Raw').click()")
    assert json.loads(tab.evaluate("document.querySelector('#detail .response pre').textContent")) == body


def test_bytes_are_shown_as_hex(tab: Tab, served: Served, app: str) -> None:
    data = base64.b64encode(bytes(range(256))).decode()
    served.send(app, event(response={"body": data, "transfer_encoding": "base64"}, transaction_id=f"t-{app}"))
    show(tab, served, app, event=f"t-{app}")
    tab.wait("!!document.querySelector('#detail .response pre.hex')")
    lines = tab.evaluate("document.querySelector('#detail .response pre.hex').textContent").splitlines()
    assert lines[4] == "00000040  40 41 42 43 44 45 46 47  48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO"
    assert len(lines) == 16


def test_an_event_without_a_response_says_so(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event(status=None, transaction_id=f"t-{app}"))
    show(tab, served, app, event=f"t-{app}")
    tab.wait("document.querySelectorAll('#detail .side')[1]?.textContent.includes('No response')")


NASTY = 'it\'s $HOME `id` \\ "x" \x1b[201~ !! \u202e ü'
CURLS: list[tuple[dict[str, Any], list[str], bytes]] = [
    ({"verb": "GET"}, ["--url", "https://api.example.com/items/1", "--header", "Accept: */*"], b""),
    (
        {"verb": "POST", "body": {"note": NASTY, "n": 9007199254740993}, "transfer_encoding": "json", "headers": {}},
        ["--url", "https://api.example.com/items/1", "--data-raw"],
        b"",
    ),
    (
        {"verb": "DELETE", "headers": {"X-Note": NASTY, "Content-Length": "3", "X-Empty": "", "@file": "x"}},
        [
            *("--url", "https://api.example.com/items/1", "--request", "DELETE"),
            *("--header", f"X-Note: {NASTY}", "--header", "X-Empty;"),
        ],
        b"",
    ),
    (
        {"verb": "PUT", "uri": "-o/etc/passwd'; id; '", "headers": {"Accept-Encoding": "gzip"}},
        ["--url", "-o/etc/passwd'; id; '", "--request", "PUT", "--compressed"],
        b"",
    ),
    (
        {"verb": "POST", "body": base64.b64encode(bytes(range(256))).decode(), "transfer_encoding": "base64"}
        | {"headers": {}},
        ["--url", "https://api.example.com/items/1", "--data-binary", "@-"],
        bytes(range(256)),
    ),
    (
        {"verb": "HEAD", "headers": {}, "uri": "https://api.example.com/a[1]{2}"},
        ["--url", "https://api.example.com/a[1]{2}", "--globoff", "--head"],
        b"",
    ),
]


@pytest.mark.parametrize(("request_part", "arguments", "standard_input"), CURLS)
def test_copy_as_curl_runs_as_it_was_captured(
    tab: Tab,
    served: Served,
    app: str,
    tmp_path: Path,
    request_part: dict[str, Any],
    arguments: list[str],
    standard_input: bytes,
) -> None:
    """The copied text is run by a real shell, with a curl in its path that writes down what it was given."""
    headers = request_part.pop("headers", {"Host": "api.example.com", "Accept": "*/*"})
    served.send(app, event(transaction_id=f"t-{app}", request={**request_part, "headers": headers}))
    show(tab, served, app, event=f"t-{app}")
    tab.click("#copy-curl")
    tab.wait("document.querySelector('#copy-curl').textContent === 'Copied'")
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert "\x1b" not in copied
    stub = tmp_path / "curl"
    stub.write_text('#!/bin/sh\nprintf "%s\\0" "$@" > "$OUT/arguments"\n[ -t 0 ] || cat > "$OUT/input"\n')
    stub.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OUT": str(tmp_path), "HOME": "/nowhere", "LC_ALL": "C.UTF-8"}
    subprocess.run(["bash", "-c", copied], env=environment, check=True, stdin=subprocess.DEVNULL, timeout=20)
    found = (tmp_path / "arguments").read_bytes().decode().split("\0")[:-1]
    assert found[: len(arguments)] == arguments
    if arguments[-1] == "--data-raw":
        assert json.loads(found[-1]) == request_part["body"]
    else:
        assert len(found) == len(arguments)
    assert (tmp_path / "input").read_bytes() == standard_input


def test_the_keyboard_moves_opens_closes_and_filters(tab: Tab, served: Served, app: str) -> None:
    served.send(app, *(event(f"/{number}") for number in range(5)))
    show(tab, served, app)
    tab.wait(f"{PATHS}.length === 5")
    title = "document.querySelector('#detail-title')?.textContent"
    tab.press("j", "j")
    assert tab.evaluate("document.querySelector('tr.current .c-uri a').textContent") == "/3"
    assert tab.evaluate("document.activeElement.textContent") == "/3"
    tab.press("Enter")
    tab.wait(f"{title} === 'GET /3'")
    tab.press("j")
    tab.wait(f"{title} === 'GET /2'")
    tab.press("k", "k")
    tab.wait(f"{title} === 'GET /4'")
    assert tab.evaluate("document.querySelector('tr[aria-current]').dataset.id") == tab.evaluate(
        "new URLSearchParams(location.search).get('event')"
    )
    tab.press("Escape")
    tab.wait("document.querySelector('#detail').hidden")
    assert tab.evaluate("document.activeElement.textContent") == "/4"
    tab.press("/")
    assert tab.evaluate("document.activeElement.id") == "filter"
    tab.type("j")
    tab.press("Escape")
    assert tab.evaluate("document.activeElement.id") != "filter"
    tab.press("?")
    tab.wait("document.querySelector('dialog').open")
    tab.press("Escape")
    tab.wait("!document.querySelector('dialog').open")
    tab.errors.clear()


def test_clicking_a_user_filters_by_it(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/a", user_id="two words"), event("/b", user_id="other", transaction_id=f"t-{app}"))
    served.send(app, event("/c", user_id="two words", transaction_id=f"u-{app}"))
    show(tab, served, app, event=f"u-{app}")
    tab.click("#detail .facts button[title='Filter by this user']")
    wait_for_paths(tab, ["/c", "/a"])
    assert tab.evaluate("document.querySelector('#filter').value") == 'user:"two words"'


def test_thousands_of_rows_keep_the_document_small(tab: Tab, served: Served, app: str) -> None:
    served.send(app, *(event(f"/{number}") for number in range(3000)))
    show(tab, served, app)
    count = "document.querySelectorAll('#rows tr').length"
    for _ in range(12):
        tab.evaluate("document.querySelector('#viewport').scrollTop = 1e9")
        time.sleep(0.15)
        assert tab.evaluate(count) < 100
    tab.wait(
        "document.querySelector('#viewport').scrollTop = 1e9,"
        "[...document.querySelectorAll('#rows .c-uri a')].at(-1)?.textContent === '/0'"
    )
    assert tab.evaluate("document.querySelector('#count').textContent") == "3,000 events"
    # New events do not move what is being read.
    before = tab.evaluate(f"({PATHS}).join()")
    served.send(app, event("/new"), event("/new"))
    tab.wait("document.querySelector('#count').textContent === '3,002 events'")
    assert tab.evaluate(f"({PATHS}).slice(-20).join()") == ",".join(before.split(",")[-20:])
    tab.press("g")
    tab.wait(f"{PATHS}[0] === '/new'")


def test_a_flood_that_is_larger_than_a_message_leaves_no_gap(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/first"))
    show(tab, served, app)
    served.send(app, *(event(f"/{number}") for number in range(700)))
    tab.wait(f"{PATHS}[0] === '/699'")
    tab.wait(
        "document.querySelector('#viewport').scrollTop = 1e9,"
        "document.querySelector('#count').textContent === '701 events'"
    )


def test_the_filters_language_searches_bodies_and_more(tab: Tab, served: Served, app: str) -> None:
    body = {"note": "Out of Stock"}
    served.send(app, event("/a", took=900), event("/b", response={"body": body, "transfer_encoding": "json"}))
    served.send(app, event("/c", took=901, status=500))
    show(tab, served, app, q="took:%3E500")
    wait_for_paths(tab, ["/c", "/a"])
    tab.press("/")
    tab.evaluate("document.querySelector('#filter').value = ''")
    tab.type('body:"out of stock"')
    wait_for_paths(tab, ["/b"])
    served.send(app, event("/d"), event("/e", response={"body": body, "transfer_encoding": "json"}))
    wait_for_paths(tab, ["/e", "/b"])
    show(tab, served, app, q="-status:200")
    wait_for_paths(tab, ["/c"])


def test_a_search_over_thousands_is_paged_too(tab: Tab, served: Served, app: str) -> None:
    served.send(app, *(event(f"/{number}", ago=3000 - number) for number in range(1500)))
    show(tab, served, app, q="took:%3E1")
    tab.wait(
        "document.querySelector('#viewport').scrollTop = 1e9,"
        "[...document.querySelectorAll('#rows .c-uri a')].at(-1)?.textContent === '/0'"
    )
    assert tab.evaluate("document.querySelector('#count').textContent") == "1,500 events"


def test_the_overview_draws_what_the_events_come_to(tab: Tab, served: Served, app: str) -> None:
    served.send(app, *(event("/a", took=20, user_id="u1", company_id="acme") for _ in range(8)))
    served.send(app, event("/b", status=500, took=1200, user_id=HOSTILE), event("/b", status=404, took=1200))
    show(tab, served, app)
    tab.press("2")
    tab.wait("document.querySelectorAll('#overview .chart').length === 2")
    assert tab.evaluate("new URLSearchParams(location.search).get('view')") == "overview"
    tiles = texts(tab, ".tiles dd")
    assert tiles[:3] == ["10", "20.0 %", "20 ms"]
    assert texts(tab, ".legend")[0] == "2xx4xx5xx"
    assert tab.evaluate("document.querySelectorAll('.chart rect.k2').length") >= 1
    assert texts(tab, ".panel[aria-label=Routes] tbody th") == ["/a", "/b"]
    assert set(texts(tab, ".panel[aria-label=Users] tbody th")) == {"u1", HOSTILE}
    bars = tab.evaluate("[...document.querySelectorAll('.panel[aria-label=Routes] meter')].map(m => m.value)")
    assert bars == [1, 0.25]
    tab.click("[data-keep=by-route]")
    tab.wait("document.querySelectorAll('.chart rect.r2').length >= 1")
    tab.click("[data-keep='15m']")
    tab.wait("new URLSearchParams(location.search).get('range') === '15m'")
    tab.click(".panel[aria-label='Calls over time'] summary")
    rows = "[...document.querySelectorAll('.figures tbody tr')]"
    tab.evaluate(f"{rows}.find(row => row.cells[1].textContent > 0).querySelector('button').focus()")
    table = "document.querySelector('.figures')"
    tab.evaluate(f"{table}.dataset.old = 'yes'; document.querySelector('[data-keep=by-route]').click()")
    tab.wait(f"!{table}.dataset.old && {table}.parentElement.offsetHeight > 0")
    assert tab.evaluate("document.activeElement.dataset.keep").startswith("Calls over time "), "what is read stays open"
    tab.press("Enter")
    tab.wait(f"{PATHS}.length > 0")
    assert "since:" in tab.evaluate("document.querySelector('#filter').value")
    tab.evaluate("history.back()")
    tab.wait("!document.querySelector('#overview').hidden")
    tab.press("/")
    tab.type("status:5xx")
    tab.wait("document.querySelector('.tiles dd').textContent === '1'")
    tab.click(".panel[aria-label=Routes] tbody button")
    wait_for_paths(tab, ["/b"])
    assert tab.evaluate("document.querySelector('#filter').value") == "status:5xx route:/b"


HELD_BACK = """
    window.asked = [];
    const fetched = window.fetch;
    window.fetch = (address, options) => {
        window.asked.push({address, signal: options.signal});
        if (!/api.(events|summary)[?]/.test(address)) return fetched(address, options);
        return new Promise((_, fail) => options.signal.addEventListener("abort", () => fail(options.signal.reason)));
    };
"""
"""Lists and overviews that never come, unless they are aborted."""


def test_a_request_that_is_outdated_is_aborted(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/a"))
    show(tab, served, app)
    wait_for_paths(tab, ["/a"])
    tab.evaluate(f"(() => {{ {HELD_BACK} }})()")
    aborted = "JSON.stringify(window.asked.map(one => one.signal.aborted))"
    tab.click("#statuses button[value='4xx']")
    tab.wait(f"{aborted} === '[false]'")
    assert tab.evaluate("document.querySelector('#events').getAttribute('aria-busy')") == "true"
    tab.click("#statuses button[value='5xx']")
    tab.wait(f"{aborted} === '[true,false]'")
    tab.press("2")
    tab.wait(f"{aborted} === '[true,false,false]'")
    tab.click("[data-keep='24h']")
    tab.wait(f"{aborted} === '[true,false,true,false]'")
    tab.press("3")
    tab.wait("window.asked[3].signal.aborted")


def test_the_overview_has_its_frame_before_its_figures(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/a"))
    show(tab, served, app)
    tab.evaluate(f"(() => {{ {HELD_BACK} }})()")
    tab.press("2")
    tab.wait("window.asked.length === 1")
    assert texts(tab, ".tiles dd") == ["…"] * 7
    assert tab.evaluate("document.querySelector('[data-keep=\"1h\"]').getAttribute('aria-pressed')") == "true"
    assert tab.evaluate("document.querySelector('#overview').getAttribute('aria-busy')") == "true"


def test_everything_is_within_reach_on_a_telephone(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/a/rather/long/path/that/does/not/fit", user_id="u1", company_id="acme"))
    tab.size(390, 800)
    try:
        for view in ("events", "overview", "rules"):
            show(tab, served, app, view=view)
            if view == "rules":
                tab.click("#new-rule")
            beyond = """[...document.querySelectorAll("button, nav a, select, input")].filter(node => {
                const box = node.getBoundingClientRect();
                return box.width > 1 && (box.left < 0 || box.right > innerWidth);
            }).map(node => node.id || node.textContent)"""
            assert tab.evaluate(beyond) == []
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        tab.size(1440, 900)


def test_what_matches_can_be_downloaded_as_an_archive(tab: Tab, served: Served, app: str, tmp_path: Path) -> None:
    served.send(app, event("/a"), event("/b", status=500))
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    show(tab, served, app, q="status:5xx")
    tab.click("#export")
    deadline = time.monotonic() + 10
    while not (tmp_path / "events.har").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    entries = json.loads((tmp_path / "events.har").read_text())["log"]["entries"]
    assert [entry["request"]["url"] for entry in entries] == ["https://api.example.com/b"]


def test_what_matches_can_be_deleted_after_a_question(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/stays"), *(event("/goes", status=500) for _ in range(600)))
    show(tab, served, app)
    tab.click("#delete")
    assert tab.evaluate("document.querySelector('#delete-go').disabled")
    tab.press("Escape")
    tab.click("#statuses button[value='5xx']")
    tab.wait(f"{PATHS}.every(path => path === '/goes')")
    tab.click("#delete")
    assert "status:5xx" in tab.evaluate("document.querySelector('dialog').textContent")
    tab.click("#delete-go")
    tab.wait("document.querySelector('dialog').textContent.includes('600 deleted')")
    tab.press("Escape")
    tab.click("#statuses button[value='']")
    wait_for_paths(tab, ["/stays"])


def test_deleting_ends_when_the_question_is_closed(tab: Tab, served: Served, app: str) -> None:
    """By Escape as by the button, which has the focus first: what is not deleted by then stays."""
    served.send(app, *(event("/goes", status=500) for _ in range(1_200)))
    show(tab, served, app, q="status:5xx")
    tab.evaluate("""(() => {
        const fetched = window.fetch;
        const asked = () => new Promise((go) => { window.deleteMore = go; });
        window.fetch = async (address, options) => {
            const answer = await fetched(address, options);
            if (options?.method === "DELETE") await asked();
            return answer;
        };
    })()""")
    tab.click("#delete")
    assert tab.evaluate("document.activeElement.textContent") == "Cancel"
    tab.click("#delete-go")
    tab.wait("!!window.deleteMore")
    tab.press("Escape")
    tab.evaluate("window.deleteMore()")
    tab.wait(f"!document.querySelector('dialog').open && {PATHS}.length > 0")
    time.sleep(0.3)
    left, at = 0, None
    while True:
        answer = served.page("events", app=app, limit=500, **({"before": at} if at else {})).json()
        left += len(answer["events"])
        if not answer["more"]:
            break
        at = answer["events"][-1]["at"]
    assert left == 700


def test_a_rule_is_made_tried_and_saved(tab: Tab, served: Served, app: str) -> None:
    served.send(app, *(event("/old/1", ago=5) for _ in range(3)), event("/new"), event("/old/2", user_id=HOSTILE))
    show(tab, served, app, view="rules")
    tab.click("#new-rule")
    tab.type("Retire the old ones")
    tab.click(".condition input[aria-label='Regular expression']")
    tab.evaluate("document.activeElement.select()")
    tab.type("^/old/")
    tab.click("#try-rule")
    tab.wait("document.querySelector('#shadow-said')?.textContent.includes('newest 5')")
    said = tab.evaluate("document.querySelector('#shadow-said').textContent")
    assert "applies to 4; 4 would be blocked, 4 of them are not blocked today" in said
    assert texts(tab, ".samples tbody tr:first-child td")[:5] == ["GET", "/old/2", "200", "429", HOSTILE]
    tab.click(".samples tbody button")
    tab.wait("document.querySelector('.sample-explained .conditions')?.textContent.includes('matches ^/old/')")
    tab.click("#save-rule")
    tab.wait("document.querySelector('.said').textContent.startsWith('Saved')")
    assert texts(tab, ".rule-list strong") == ["Retire the old ones"]
    rules = served.client.get("/v1/rules", headers={"X-Moesif-Application-Id": app}).json()
    assert rules[0]["regex_config"] == [{"conditions": [{"path": "request.route", "value": "^/old/"}]}]
    assert rules[0]["response"] == {"status": 429, "headers": {}, "body": {"error": "Too many requests"}}


def test_a_rule_is_edited_as_json_and_deleted(tab: Tab, served: Served, app: str) -> None:
    rule = {"name": HOSTILE, "type": "user", "state": 2, "block": False, "variables": [{"name": "0", "path": "x"}]}
    served.client.post("/_page/api/rules", params={"app": app}, json=rule)
    show(tab, served, app, view="rules")
    tab.click(".rule-list button")
    tab.evaluate("[...document.querySelectorAll('.rule-head .tab')].find(b => b.textContent === 'JSON').click()")
    text = json.loads(tab.evaluate("document.querySelector('.rule-json').value"))
    assert text["variables"] == rule["variables"]
    tab.evaluate("document.querySelector('.rule-json').value = '{\"name\": 5'")
    tab.click("#save-rule")
    tab.wait("document.querySelector('.said').textContent.startsWith('This is no rule')")
    text["name"], text["block"] = "Named anew", True
    tab.evaluate(f"document.querySelector('.rule-json').value = {json.dumps(json.dumps(text))}")
    tab.evaluate("[...document.querySelectorAll('.rule-head .tab')].find(b => b.textContent === 'Form').click()")
    assert tab.evaluate("document.querySelector('#rule-name').value") == "Named anew"
    assert tab.evaluate("document.querySelector('#rule-block').checked")
    tab.click("#save-rule")
    tab.wait("document.querySelector('.said').textContent.startsWith('Saved')")
    stored = served.page("rules", app=app).json()[0]
    assert (stored["name"], stored["block"], stored["variables"]) == ("Named anew", True, rule["variables"])
    tab.click("#delete-rule")
    tab.click("#delete-rule")
    tab.wait("document.querySelectorAll('.rule-list li').length === 0")
    assert served.page("rules", app=app).json() == []


def test_an_event_is_explained_by_the_rules_in_force(tab: Tab, served: Served, app: str) -> None:
    rule = {"name": "Slow down", "type": "regex", "state": 2, "block": True, "response": {"status": 429}}
    served.client.post("/_page/api/rules", params={"app": app}, json=rule)
    served.send(app, event(transaction_id=f"t-{app}"))
    show(tab, served, app, event=f"t-{app}")
    tab.click("#explain")
    tab.wait("document.querySelector('#detail .verdict')?.textContent === 'Blocked with 429 by Slow down'")


def test_the_theme_follows_the_system_and_can_be_chosen(tab: Tab, served: Served, app: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    tab.scheme("light")
    show(tab, served, app)
    light = tab.evaluate(background)
    tab.scheme("dark")
    dark = tab.evaluate(background)
    assert light != dark
    tab.click("#theme")
    assert tab.evaluate(background) == light
    tab.evaluate("window.old = true, location.reload()")
    tab.wait("!window.old && document.querySelector('#connection')?.dataset.state === 'live'")
    assert tab.evaluate(background) == light
    tab.evaluate("localStorage.clear()")
    tab.scheme("light")


def test_an_application_can_be_chosen(tab: Tab, served: Served, app: str) -> None:
    served.send(app, event("/mine"))
    tab.open(served.url + "/")
    tab.wait("document.querySelector('#connection').dataset.state === 'live'")
    tab.evaluate(f"document.querySelector('#app').value = {json.dumps(app)}")
    tab.evaluate("document.querySelector('#app').dispatchEvent(new Event('change'))")
    wait_for_paths(tab, ["/mine"])
    assert tab.evaluate("new URLSearchParams(location.search).get('app')") == app


def test_a_rule_is_not_carried_into_another_application(tab: Tab, served: Served, app: str) -> None:
    """While one is edited another application is chosen: its own rules are there, and nothing to save."""
    show(tab, served, app, view="rules")
    tab.click("#new-rule")
    tab.press("Escape", "1", "3")
    assert tab.evaluate("!!document.querySelector('#save-rule')"), "going away and coming back keeps it"
    tab.evaluate(f"document.querySelector('#app').value = {json.dumps(served.apps[0])}")
    tab.evaluate("document.querySelector('#app').dispatchEvent(new Event('change'))")
    tab.wait("!document.querySelector('#save-rule')")


def test_the_page_says_when_the_collector_is_gone_and_goes_on_when_it_is_back(chromium: Tab, tmp_path: Path) -> None:
    with serving(tmp_path, ("app",)) as found:
        port = int(found.url.rpartition(":")[2])
        found.send("app", event("/before"))
        show(chromium, found, "app")
        wait_for_paths(chromium, ["/before"])
    chromium.wait("document.querySelector('#connection').textContent.startsWith('Reconnecting in')")
    with serving(tmp_path, ("app",), port) as again:
        again.send("app", event("/meanwhile"))
        wait_for_paths(chromium, ["/meanwhile", "/before"])
        chromium.wait("document.querySelector('#connection').dataset.state === 'live'")
        again.send("app", event("/after"))
        wait_for_paths(chromium, ["/after", "/meanwhile", "/before"])
        chromium.open("about:blank")


def test_a_browser_that_is_not_there_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match="apt-get install chromium"), browser():
        pass
