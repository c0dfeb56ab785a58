"""Line charts on logarithmic axes and horizontal bars, as SVG: no more than the benchmarks need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 36, 50
_COLOURS = ("#1f6feb", "#d1570a", "#2e8540", "#8250df")
_NAMES, _VALUES = 140, 50
"""Where the bars begin, and the room for the number behind the longest."""
_SMALL = 'style="font-size: 10px"'
_FONT = 'font-family="system-ui, sans-serif" font-size="12" fill="#333"'


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. Both axes are logarithmic, so that all numbers are above zero."""

    title: str
    across: str
    """What the horizontal axis shows, with its unit."""
    up: str
    lines: Mapping[str, Sequence[Point]]


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars from zero: one for each number of a row, in the order of ``legend``."""

    title: str
    legend: Sequence[str]
    rows: Mapping[str, Sequence[float]]


class _Axis:
    """One axis: from numbers to places, and the powers of ten to mark."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        self._low = math.floor(math.log10(min(values)))
        self._high = max(math.ceil(math.log10(max(values))), self._low + 1)
        self._first, self._last = first, last

    def place(self, value: float) -> float:
        """Return where a number stands."""
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._first + share * (self._last - self._first)

    def marks(self) -> list[tuple[float, str]]:
        """Return places and labels of the powers of ten."""
        return [(self.place(10.0**power), _short(10.0**power)) for power in range(self._low, self._high + 1)]


def _short(number: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def _text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_FONT} {more}>{escape(words)}</text>'


def _chart(chart: Chart) -> list[str]:
    points = [point for line in chart.lines.values() for point in line]
    across = _Axis([x for x, _ in points], _LEFT, WIDTH - _RIGHT)
    up = _Axis([y for _, y in points], HEIGHT - _BOTTOM, _TOP)
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', _text(WIDTH / 2, 18, chart.title)]
    for x, label in across.marks():
        parts += [_grid(x, _TOP, x, HEIGHT - _BOTTOM), _text(x, HEIGHT - _BOTTOM + 16, label)]
    for y, label in up.marks():
        parts += [_grid(_LEFT, y, WIDTH - _RIGHT, y), _text(_LEFT - 6, y + 4, label, "end")]
    parts.append(_text(WIDTH / 2, HEIGHT - 12, chart.across))
    parts.append(_text(14, HEIGHT / 2, chart.up, more=f'transform="rotate(-90 14 {HEIGHT / 2:.0f})"'))
    for number, (name, line) in enumerate(chart.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(across.place(x), up.place(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(f'<rect x="{_LEFT + 8}" y="{_TOP + 4 + 16 * number}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(_LEFT + 23, _TOP + 13 + 16 * number, name, "start"))
    return parts


def _bars(bars: Bars) -> list[str]:
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', _text(WIDTH / 2, 18, bars.title)]
    for number, name in enumerate(bars.legend):
        x = _NAMES + (WIDTH - _NAMES) / max(len(bars.legend), 2) * number
        parts += [_bar(x, 28, 10, 10, number), _text(x + 15, 37, name, "start")]
    most = max(max(row) for row in bars.rows.values()) or 1.0
    step = (HEIGHT - _TOP - 20) / len(bars.rows)
    thick = min((step - 5) / len(bars.legend), 12.0)
    for place, (name, row) in enumerate(bars.rows.items()):
        top = _TOP + 12 + step * place
        parts.append(_text(_NAMES - 8, top + thick * len(row) / 2 + 4, name, "end"))
        for number, value in enumerate(row):
            y, length = top + thick * number, max(value, 0.0) / most * (WIDTH - _NAMES - _VALUES)
            parts.append(_bar(_NAMES, y, max(length, 1.0), thick - 1, number))
            parts.append(_text(_NAMES + length + 5, y + thick / 2 + 3.5, f"{value:,.0f}", "start", _SMALL))
    return parts


def _bar(x: float, y: float, width: float, height: float, number: int) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def draw(charts: Sequence[Bars | Chart], columns: int = 2) -> str:
    """Return the charts in one picture, side by side and below each other."""
    rows = -(-len(charts) // columns)
    size = f'width="{columns * WIDTH}" height="{rows * HEIGHT}" viewBox="0 0 {columns * WIDTH} {rows * HEIGHT}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    for number, chart in enumerate(charts):
        x, y = number % columns * WIDTH, number // columns * HEIGHT
        parts += [
            f'<g transform="translate({x} {y})">',
            *(_bars(chart) if isinstance(chart, Bars) else _chart(chart)),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>", ""])
