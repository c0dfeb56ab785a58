"""The page of the results in Markdown, the plots in SVG, and the README's table: made from the rows alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .contestants import CONTESTANTS, Bare, Contestant, MoesifAsgi, MoesifDjango, MoesifWsgi, Ours
from .contestants.base import KINDS
from .growth import AXES
from .overhead import GOALS
from .plan import ROOT
from .results import Results
from .runner import FREE_THREADED, NO_FREE_THREADED
from .sinkhole import STATES
from .svg import Bars, Chart, draw
from .tables import Table, cost, delivered, figure, markdown, named, order, shown
from .workloads import WORKLOADS

README = ROOT / "README.md"
OUT = ROOT / "docs" / "benchmarks"
BEGIN, END = "<!-- benchmarks: made by python -m benchmarks report -->\n", "<!-- end of benchmarks -->\n"
PAGE, OVERHEAD, GROWTH = "results.md", "overhead.svg", "growth.svg"
SHOWN = "b"
"""The workload of the README and of the plot."""
LEAST = 0.5
"""Microseconds below which a difference is noise, and no number that a logarithmic axis has."""
MB = 1_000_000
VENDOR = {"ASGI": MoesifAsgi, "WSGI": MoesifWsgi, "Django": MoesifDjango}

TABLES = (
    Table("Rules, and requests that are not sampled", "governed", ("kind", "case"), {
        "request's thread, µs": figure("path", 1), "all threads, µs": figure("cpu", 1), "load": figure("load", 1),
    }),
    Table("Under a server", "served", ("kind", "contestant"), {
        "requests/s": figure("rate"), "p50, ms": figure("p50", 1, 1000), "p99, ms": figure("p99", 1, 1000),
        "p50 alone, ms": figure("p50_alone", 2, 1000), "p99 alone, ms": figure("p99_alone", 2, 1000),
        "CPU of a request, µs": figure("cpu"), "failed requests": figure("failures"), "delivered": delivered,
    }),
    Table("Memory at 1 500 requests a second", "memory", ("kind", "contestant", "case"), {
        "requests": figure("sent"), "grew by, MB": figure("grown", 0, MB), "p50, µs": figure("p50"),
        "p99, µs": figure("p99"), "delivered": lambda row: delivered(row) if row.case == "up" else "",
        "load": figure("load", 1),
    }),
    Table("Streams", "stream", ("kind", "contestant"), {
        "MB": figure("received", 0, MB), "first byte, ms": figure("first_byte"), "last byte, ms": figure("last_byte"),
        "download grew by, MB": figure("grown_down", 1, MB), "upload, ms": figure("upload"),
        "upload grew by, MB": figure("grown_up", 1, MB),
    }),
    Table("Import", "import", ("kind", "contestant", "case"), {"CPU, ms": figure("cpu")}),
    Table("As work grows", "growth", ("case",), {
        "request's thread, µs": figure("path", 1), "all threads, µs": figure("cpu"),
        "first quartiles": lambda row: f"{row.figures['path_quartile']:.1f} / {row.figures['cpu_quartile']:,.0f}",
        "load": figure("load", 1),
    }),
)  # fmt: skip


def write(results: Results, out: Path) -> None:
    """Write the page and the plots into a directory, and the README's part when the directory is the project's own."""
    out.mkdir(parents=True, exist_ok=True)
    (out / PAGE).write_text(page(results))
    for name, charts in ((OVERHEAD, overhead_charts(results)), (GROWTH, growth_charts(results))):
        if charts:
            (out / name).write_text(draw(charts))
    if out.resolve() == OUT:
        README.write_text(with_summary(README.read_text(), results))


def with_summary(text: str, results: Results) -> str:
    """Return a text with the summary between its two marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{summary(results)}{END}{rest.partition(END)[2]}"


def summary(results: Results) -> str:
    """Return the README's table: a row for each contestant, the vendor's three packages in one."""
    lines = []
    for name, by_kind in contestants():
        costs = [shown(results.one("overhead", kind, SHOWN, by_kind[kind].name), cost) for kind in KINDS]
        one = by_kind["ASGI"].name
        memory = [results.one("memory", "ASGI", state, one) for state in ("hanging", "up")]
        cells = shown(memory[0], figure("grown", 0, MB)), shown(memory[1], delivered)
        lines.append([named(name), *costs, *cells])
    requests = max((row.figures["sent"] for row in results.of("memory") if "sent" in row.figures), default=0)
    return markdown(["", *(f"{kind}, µs" for kind in KINDS), f"MB after {requests:,}", "delivered"], lines)


def contestants() -> Iterator[tuple[str, dict[str, type[Contestant]]]]:
    """Yield those to which something is added, with the class for each kind."""
    for contestant in CONTESTANTS.values():
        if contestant is MoesifAsgi:
            yield ", ".join(each.name for each in VENDOR.values()), dict(VENDOR)
        elif contestant is not Bare and contestant not in VENDOR.values():
            yield contestant.name, dict.fromkeys(KINDS, contestant)


def page(results: Results) -> str:
    """Return the page of all results."""
    sections = [
        ("Who was measured, and on what", f"{who(results)}\n{machines(results)}"),
        *((f"Added to a request: {kind}", overhead(results, kind)) for kind in (*KINDS, f"ASGI, {FREE_THREADED}")),
        *((table.title, table.of(results.of(table.measure))) for table in TABLES),
        ("What came to nothing", failures(results)),
    ]
    head = (
        "# Results\n\nMade by `python -m benchmarks report` of [results.json](results.json). "
        "[How to read them](../benchmarks.md).\n"
    )
    return head + "".join(f"\n## {title}\n\n{text}" for title, text in sections if text)


def who(results: Results) -> str:
    """Return the contestants with their versions and what they capture."""
    versions = {row.contestant: row.versions for row in results}
    lines = [
        [named(name), versions[name].get(contestant.package, ""), contestant.captures]
        for name, contestant in CONTESTANTS.items()
        if name in versions
    ]
    return markdown(["contestant", "version", "what of a request is in an event"], lines, 3)


def machines(results: Results) -> str:
    """Return on what and when the rows were measured, and with which servers and frameworks."""
    seen = [row.machine for row in results if row.machine is not None]
    if not seen:
        return ""
    processors = sorted({f"{each.cpu}, {each.cores} cores, {each.system}" for each in seen})
    pythons = sorted({each.python for each in seen if each.python})
    loads = [each.load for each in seen]
    others = sorted(
        {
            f"{name} {version}"
            for row in results
            for name, version in row.versions.items()
            if name != CONTESTANTS[row.contestant].package
        }
    )
    nothing = "" if any(FREE_THREADED in row.kind for row in results) else f" Without a global lock: {NO_FREE_THREADED}"
    return (
        f"{'; '.join(processors)}; Python {', '.join(pythons)}; {', '.join(others)}. Measured from "
        f"{min(each.at for each in seen)} to {max(each.at for each in seen)}, while the machine's load was "
        f"{min(loads):.1f} to {max(loads):.1f}.{nothing}\n"
    )


def overhead(results: Results, kind: str) -> str:
    """Return what is added to a request of one kind, for the four workloads."""
    rows = list(results.of("overhead", kind))
    names = [name for name in CONTESTANTS if any(row.contestant == name for row in rows)]
    lines = []
    for name in names:
        own = {row.case: row for row in rows if row.contestant == name}
        load = max(row.machine.load for row in own.values() if row.machine is not None)
        lines.append([named(name), *(shown(own.get(case), cost) for case in WORKLOADS), f"{load:.1f}"])
    goals = [GOALS.get((kind, case)) for case in WORKLOADS]
    if lines and any(goals):
        lines.append([f"*goal of {Ours.name}*", *(f"*{goal[0]} / {goal[1]}*" if goal else "" for goal in goals), ""])
    return markdown(["µs, thread / all", *(f"{case}: {what}" for case, what in WORKLOADS.items()), "load"], lines)


def failures(results: Results) -> str:
    """Return why rows have no figures."""
    failed = sorted((row for row in results if "failed" in row.figures), key=order)
    return "".join(
        f"- {row.measure}, {row.kind} {row.case}, {row.contestant}: {row.figures['failed']}\n" for row in failed
    )


def overhead_charts(results: Results) -> list[Bars | Chart]:
    """Return bars of what is added to the workload that is shown, for each kind, and of the memory it comes to."""
    charts: list[Bars | Chart] = []
    for kind in KINDS:
        rows = [row for row in sorted(results.of("overhead", kind, SHOWN), key=order) if row.figures.get("delivered")]
        bars = {row.contestant: (row.figures["path"], row.figures["cpu"]) for row in rows}
        if bars:
            title = f"{kind}, {WORKLOADS[SHOWN]}: µs of CPU added"
            charts.append(Bars(title, ("request's thread", "all threads"), bars))
    grown: dict[str, dict[str, float]] = {}
    for row in sorted(results.of("memory"), key=order):
        if "grown" in row.figures and row.contestant != Bare.name:
            grown.setdefault(row.contestant, {})[row.case] = row.figures["grown"] / MB
    whole = {
        name: tuple(found[state] for state in STATES) for name, found in grown.items() if len(found) == len(STATES)
    }
    if whole:
        charts.append(Bars("Memory grew by, MB, with the collector", STATES, whole))
    return charts


def growth_charts(results: Results) -> list[Bars | Chart]:
    """Return a chart for each axis along which work grows; none stands where a tenth would."""
    charts: list[Bars | Chart] = []
    for name, axis in AXES.items():
        points = {value: results.one("growth", "ASGI", f"{name} {value}", Ours.name) for value in axis.values}
        rows = [
            (value or 0.1, row.figures)
            for value, row in points.items()
            if row is not None and "failed" not in row.figures
        ]
        lines = {
            "request's thread": [(value, max(figures["path_quartile"], LEAST)) for value, figures in rows],
            "all threads": [(value, max(figures["cpu_quartile"], LEAST)) for value, figures in rows],
        }
        if rows:
            charts.append(Chart(f"Added by {name}", axis.across, "microseconds of CPU a request", lines))
    return charts
