"""A chart of columns as an SVG that stands alone: the same in a browser and in a PDF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 720, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 12, 24
_COLUMN = "#2f6f8f"
_RULE = "#d9dee3"
_TEXT = "#5b6670"
_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what stands below it, and how high it is."""

    label: str
    value: Decimal


def column_chart(columns: Sequence[Column], label: Callable[[Decimal], str]) -> str:
    """An SVG; empty where there is nothing to be seen.

    Args:
        columns: from left to right; what is below 0 has no height.
        label: how a value is written on the scale.
    """
    highest = max((column.value for column in columns), default=Decimal(0))
    if highest <= 0:
        return ""
    top = round_up(highest)
    height = _HEIGHT - _TOP - _BOTTOM
    step = (_WIDTH - _LEFT - _RIGHT) / len(columns)
    parts = []
    for quarter in (0, 2, 4):
        y = _HEIGHT - _BOTTOM - height * quarter / 4
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            f' stroke="{_RULE}" stroke-width="1"/>'
        )
        parts.append(_text(_LEFT - 8, y + 4, "end", label(top * quarter / 4)))
    for number, column in enumerate(columns):
        x = _LEFT + step * number
        tall = height * float(max(column.value, Decimal(0)) / top)
        if tall:
            parts.append(
                f'<rect x="{x + step * 0.15:.1f}" y="{_HEIGHT - _BOTTOM - tall:.1f}"'
                f' width="{step * 0.7:.1f}" height="{tall:.1f}" rx="1.5" fill="{_COLUMN}">'
                f"<title>{escape(column.label)}: {escape(label(column.value))}</title></rect>"
            )
        if number == 0 or (number + 1) % 5 == 0:
            parts.append(_text(x + step / 2, _HEIGHT - 8, "middle", column.label))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' width="{_WIDTH}" height="{_HEIGHT}" role="img">{"".join(parts)}</svg>'
    )


def round_up(value: Decimal) -> Decimal:
    """The next of 1, 2 and 5 times a power of ten: a scale that can be read."""
    power = Decimal(1).scaleb(value.adjusted())
    return next(step * power for step in _STEPS if step * power >= value)


def _text(x: float, y: float, anchor: str, said: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="{_TEXT}"'
        f' font-family="Inter, Helvetica, Arial, sans-serif">{escape(said)}</text>'
    )
