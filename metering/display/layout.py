"""Tables and lines that fit the terminal they are shown on.

A figure that is folded or cut reads as another figure, and rich folds or cuts whatever does not
fit. So a `Sheet` has several layouts, and takes the first in which every figure is whole: with
rules, without them, with columns stacked on each other, and at last each row as a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 2
_LONGEST_WORD = 24
"""Longer ones fold where they must: a name is as long as a stranger likes."""

Kind = Literal["text", "whole", "figure"]


@dataclass(frozen=True)
class Column:
    """What stands below one heading.

    `text` folds at words; `whole` never folds; a `figure` does not either, and stands to the right.
    """

    heading: str
    kind: Kind = "text"


@dataclass
class Sheet:
    """A table for whatever width there is.

    A line break in a cell is where it may be broken: it is one where columns are stacked, else a
    space.

    Args:
        columns: from left to right.
        stacks: which of them, by heading, stand on each other where they do not fit in a row.
        ruled: whether rules are drawn where there is room for them.
    """

    columns: Sequence[Column]
    stacks: Sequence[Sequence[str]]
    ruled: bool = True
    rows: list[list[Text]] = field(default_factory=list)

    def add(self, *cells: Text | str) -> None:
        """One more row, a cell for each column."""
        self.rows.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        in_a_row = [self._stack([column.heading], " ") for column in self.columns]
        stacked = [self._stack(headings, "\n") for headings in self.stacks]
        layouts = [(in_a_row, True), (in_a_row, False), (stacked, False)]
        for stacks, ruled in layouts if self.ruled else layouts[1:]:
            between = 3 * len(stacks) + 1 if ruled else _GAP * (len(stacks) - 1)
            widths = _widths(stacks, options.max_width - between)
            if widths:
                yield _table(stacks, widths, ruled=ruled, apart=stacks is stacked)
                return
        yield from self._listed()

    def _stack(self, headings: Sequence[str], line_break: str) -> _Stack:
        names = [column.heading for column in self.columns]
        parts = []
        for at in map(names.index, headings):
            cells = [Text(line_break).join(row[at].split("\n")) for row in self.rows]
            parts.append(_Part(self.columns[at], cells))
        return _Stack(parts)

    def _listed(self) -> Iterator[RenderableType]:
        for number, row in enumerate(self.rows):
            table = Table.grid(padding=(0, _GAP, 0, 0))
            table.add_column(no_wrap=True, style="bold")
            table.add_column(overflow="fold")
            for column, cell in zip(self.columns, row, strict=True):
                if cell:
                    table.add_row(column.heading, cell)
            if number:
                yield Text()
            yield table


@dataclass(frozen=True)
class _Part:
    """A column of the sheet, with its cells as they are drawn in one of the layouts."""

    column: Column
    cells: Sequence[Text]

    @property
    def natural(self) -> int:
        """The width at which nothing folds."""
        return max(cell_len(line) for text in self._texts() for line in text.split("\n"))

    @property
    def least(self) -> int:
        """The least width at which it can be read."""
        if self.column.kind != "text":
            return self.natural
        words = [word for text in self._texts() for word in text.split()]
        return min(max(map(cell_len, words)), _LONGEST_WORD)

    def _texts(self) -> list[str]:
        return [self.column.heading, *(cell.plain for cell in self.cells)]


@dataclass(frozen=True)
class _Stack:
    """One column as it is drawn: a column of the sheet, or several on each other."""

    parts: Sequence[_Part]

    @property
    def natural(self) -> int:
        return max(part.natural for part in self.parts)

    @property
    def least(self) -> int:
        return max(part.least for part in self.parts)

    @property
    def heading(self) -> str:
        return "\n".join(part.column.heading for part in self.parts)

    @property
    def justify(self) -> Literal["left", "right"]:
        return "right" if self.parts[0].column.kind == "figure" else "left"

    def cells(self) -> Iterator[Text]:
        for row in zip(*(part.cells for part in self.parts), strict=True):
            cell = Text("\n").join(row)
            cell.rstrip()
            yield cell


def _widths(stacks: Sequence[_Stack], room: int) -> list[int] | None:
    """How wide each is drawn: the widest text gives way first; None where there is no room."""
    widths = [stack.natural for stack in stacks]
    least = [stack.least for stack in stacks]
    if sum(least) > room:
        return None
    while sum(widths) > room:
        folding = [at for at, width in enumerate(widths) if width > least[at]]
        widths[max(folding, key=lambda at: widths[at])] -= 1
    return widths


def _table(stacks: Sequence[_Stack], widths: Sequence[int], *, ruled: bool, apart: bool) -> Table:
    if ruled:
        table = Table(header_style="bold")
    elif apart:
        # Rows of several lines would be hard to tell from each other.
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, _GAP - 1, 0, 0),
            leading=1,
            header_style="bold",
        )
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
    for stack, width in zip(stacks, widths, strict=True):
        table.add_column(stack.heading, width=width, overflow="fold", justify=stack.justify)
    for cells in zip(*(stack.cells() for stack in stacks), strict=True):
        table.add_row(*cells)
    return table


@dataclass(frozen=True)
class Flow:
    """A line that folds between its parts only; a part that is wider than the line, at its words.

    What follows the first line is indented.
    """

    parts: Sequence[Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text()
        for part in self.parts:
            if line.plain.strip() and line.cell_len + 1 + part.cell_len > options.max_width:
                yield line
                line = Text("  ")
            elif line:
                line.append(" ")
            line.append_text(part)
        yield line
