"""Plots as inline SVG: no script, no style from elsewhere, readable in print and by a screen reader."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 34, 48

_LETTER = 6.4
"""Width of a letter of the legend, about: there is no browser here to ask."""

_ROW = 18
"""Height of a row of the legend."""

Point = tuple[float, float]


class Axis(NamedTuple):
    """One axis: what it shows, from where to where, and the ticks with their texts."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


class Plot:
    """A drawing area with two axes; marks are drawn in the order they are added."""

    def __init__(self, x: Axis, y: Axis, description: str) -> None:
        self._x, self._y = x, y
        self._description = description
        self._marks: list[str] = []
        self._legend: list[tuple[str, str]] = []

    def line(self, points: Iterable[Point], style: str, name: str = "") -> None:
        """Draw a line through points; a name puts it into the legend."""
        path = " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in points)
        self._marks.append(f'<polyline class="{style}" points="{path}"/>')
        if name:
            self._legend.append((name, f'<line class="{style}" x1="0" x2="22" y1="-4" y2="-4"/>'))

    def bar(self, x: float, width: float, y: float, style: str, told: str) -> None:
        """Draw a bar from the bottom up, centred on ``x``; ``told`` shows when it is pointed at."""
        left, right, top = self._at_x(x - width / 2), self._at_x(x + width / 2), self._at_y(y)
        bottom = self._at_y(self._y.low)
        self._marks.append(
            f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" '
            f'height="{max(bottom - top, 0.0):.1f}"><title>{escape(told)}</title></rect>'
        )

    def dot(self, x: float, y: float, style: str, told: str) -> None:
        """Draw one point."""
        self._marks.append(
            f'<circle class="{style}" cx="{self._at_x(x):.1f}" cy="{self._at_y(y):.1f}" r="4">'
            f"<title>{escape(told)}</title></circle>"
        )

    def legend(self, name: str, style: str) -> None:
        """Name a kind of bar."""
        self._legend.append((name, f'<rect class="{style}" x="0" y="-10" width="22" height="11"/>'))

    def svg(self) -> str:
        """Return the picture."""
        keys = self._rows_of_keys()
        above = _ROW * (len(keys) - 1)  # further rows of the legend stand above the picture
        lines = [
            f'<svg viewBox="0 {-above} {WIDTH} {HEIGHT + above}" role="img" '
            f'aria-label="{escape(self._description)}">',
            *self._grid(),
            *self._marks,
            *(
                f'<g transform="translate({x:.0f} {16 - above + number * _ROW})">{drawn}</g>'
                for number, row in enumerate(keys)
                for x, drawn in row
            ),
            "</svg>",
        ]
        return "\n".join(lines)

    def _at_x(self, value: float) -> float:
        x = self._x
        inside = min(max(value, x.low), x.high)
        return _LEFT + (inside - x.low) / (x.high - x.low) * (WIDTH - _LEFT - _RIGHT)

    def _at_y(self, value: float) -> float:
        y = self._y
        inside = min(max(value, y.low), y.high)
        return HEIGHT - _BOTTOM - (inside - y.low) / (y.high - y.low) * (HEIGHT - _TOP - _BOTTOM)

    def _grid(self) -> list[str]:
        bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        drawn = []
        for value, text in self._y.ticks:
            at = self._at_y(value)
            drawn.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
            drawn.append(
                f'<text class="tick" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
            )
        for value, text in self._x.ticks:
            at = self._at_x(value)
            drawn.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
            drawn.append(
                f'<text class="tick" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>'
            )
        drawn.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
        middle = (_LEFT + right) / 2
        drawn.append(
            f'<text class="title" x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">'
            f"{escape(self._x.title)}</text>"
        )
        centre = (_TOP + bottom) / 2
        drawn.append(
            f'<text class="title" transform="translate(14 {centre:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape(self._y.title)}</text>"
        )
        return drawn

    def _rows_of_keys(self) -> list[list[tuple[float, str]]]:
        """Return the legend as rows of places and drawings: what does not fit begins a new row."""
        rows: list[list[tuple[float, str]]] = [[]]
        x = float(_LEFT)
        for name, mark in self._legend:
            width = 28 + len(name) * _LETTER + 20
            if rows[-1] and x + width > WIDTH:
                rows.append([])
                x = float(_LEFT)
            rows[-1].append((x, f'{mark}<text class="key" x="28">{escape(name)}</text>'))
            x += width
        return rows


def rounded_up(value: float) -> float:
    """Return the next of 1, 2 or 5 times a power of ten: a good end for an axis.

    >>> rounded_up(37.0), rounded_up(0.8), rounded_up(120.0)
    (50.0, 1.0, 200.0)
    """
    scale = 1.0
    while scale * 10.0 < value:
        scale *= 10.0
    while scale > value:
        scale /= 10.0
    return next(scale * step for step in (1.0, 2.0, 5.0, 10.0) if scale * step >= value)


def axis(title: str, high: float, text: Callable[[float], str], parts: int = 5) -> Axis:
    """Return an axis from 0 to at least ``high`` with evenly spaced ticks."""
    end = rounded_up(high) if high > 0.0 else 1.0
    return Axis(title, 0.0, end, [(end * n / parts, text(end * n / parts)) for n in range(parts + 1)])
