"""A file's rows: JSON objects, one a line, or CSV under a heading; one row at a time in memory."""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Any, BinaryIO, NoReturn

from .problems import Fault, Problems, RowRefused

LONGEST_LINE = 1 << 20
"""Bytes; no row of ours has a thousandth of it."""


class Format(StrEnum):
    """How a file's rows are written."""

    JSONL = "jsonl"
    CSV = "csv"

    @classmethod
    def of(cls, name: str) -> Format | None:
        """What a file's name says it is; None where it says nothing."""
        suffixes = {".jsonl": cls.JSONL, ".ndjson": cls.JSONL, ".csv": cls.CSV}
        return suffixes.get(PurePath(name).suffix.lower())


class Number(str):
    """The digits of a JSON number, as they stand in the file: no float has touched them."""

    __slots__ = ()


Row = tuple[int, Mapping[str, Any]]
"""The line on which a row begins, and its fields that are not empty."""


def read_rows(
    file: BinaryIO, written: Format, fields: Sequence[str], problems: Problems
) -> Iterator[Row]:
    """The rows that can be read; the others are told to `problems`.

    Args:
        file: what to read, from its beginning.
        written: how.
        fields: the names that a row's fields may have.
        problems: where rows go that are no rows.
    """
    if written is Format.JSONL:
        yield from _read_json(file, fields, problems)
    else:
        yield from _read_csv(file, fields, problems)


def unknown_field(name: str, fields: Iterable[str]) -> Fault:
    """What to say of a field that there is none of."""
    close = difflib.get_close_matches(name, list(fields), n=1)
    advice = f"unknown field; did you mean {close[0]}?" if close else "unknown field; leave it out"
    if any(separator in name for separator in ";\t"):
        advice = "unknown field; separate the columns with commas"
    return Fault("", name, advice)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str | RowRefused]]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE)
            yield number, RowRefused(Fault("", None, f"longer than {LONGEST_LINE} bytes"))
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        # Bytes that are no UTF-8 become surrogates, and are told of by the field they are in.
        yield number, line.decode("utf-8", "surrogateescape")


def _read_json(file: BinaryIO, fields: Sequence[str], problems: Problems) -> Iterator[Row]:
    known = frozenset(fields)
    for number, line in _lines(file):
        try:
            if isinstance(line, RowRefused):
                raise line
            if not line.strip():
                continue
            row = _object(line)
            if unknown := [name for name in row if name not in known]:
                raise RowRefused(*(unknown_field(name, fields) for name in unknown))
        except RowRefused as refused:
            problems.add(number, refused)
            continue
        yield number, {name: value for name, value in row.items() if value is not None}


def _object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(
            line,
            parse_float=Number,
            parse_int=Number,
            parse_constant=_no_constant,
            object_pairs_hook=_without_repetition,
        )
    except RecursionError:
        raise RowRefused(Fault("", None, "nested too deeply to be a row")) from None
    except ValueError as error:
        said = getattr(error, "msg", error)
        raise RowRefused(Fault("", line.strip(), f"no JSON: {said}")) from None
    if not isinstance(row, dict):
        raise RowRefused(Fault("", line.strip(), "no JSON object; write one a line"))
    return row


def _no_constant(name: str) -> NoReturn:
    raise RowRefused(Fault("", name, "no number; leave out what is not known"))


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise RowRefused(Fault(name, value, "stands twice in this row"))
        found[name] = value
    return found


class _Broken(Exception):
    """A line of a CSV that cannot be read; what follows it could be in or out of quotes."""


def _read_csv(file: BinaryIO, fields: Sequence[str], problems: Problems) -> Iterator[Row]:
    lines = _lines(file)
    last = 0

    def text() -> Iterator[str]:
        nonlocal last
        for number, line in lines:
            last = number
            if isinstance(line, RowRefused):
                raise _Broken(line.faults[0].advice)
            yield line

    reader = csv.reader(text(), strict=True)
    names: list[str] = []
    while True:
        begins = last + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except (_Broken, csv.Error) as error:
            advice = f"no CSV: {error}; what follows could not be checked"
            problems.add(begins, RowRefused(Fault("", None, advice)))
            return
        if not any(cells):
            continue
        if not names:
            names = [cell.strip() for cell in cells]
            try:
                _check_names(names, fields)
            except RowRefused as refused:
                problems.add(begins, refused)
                return
            continue
        if len(cells) != len(names):
            advice = f"has {len(cells)} cells, and the heading {len(names)}"
            problems.add(begins, RowRefused(Fault("", None, advice)))
            continue
        yield begins, {name: cell for name, cell in zip(names, cells, strict=True) if cell}


def _check_names(names: Sequence[str], fields: Sequence[str]) -> None:
    faults = [unknown_field(name, fields) for name in names if name not in fields]
    faults += [
        Fault(name, None, "stands twice in the heading")
        for number, name in enumerate(names)
        if name in names[:number]
    ]
    if faults:
        raise RowRefused(*faults)
