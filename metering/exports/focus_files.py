"""Rows of FOCUS as a file: CSV or Parquet, some rows at a time, there whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, TextIO

from ..display.spreadsheet import inert
from ..errors import ExportError
from ..usage import format_decimal
from .focus_columns import Column, ColumnType, FocusRow

ROWS_AT_ONCE = 10_000
"""A row group of a Parquet file, and what of it is in memory."""

_DIGITS, _DECIMALS = 38, 18
"""What decimal128 holds, and how many of them we give to what is past the point."""


class FileFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    PARQUET = "parquet"


def write_csv(out: TextIO, columns: Sequence[Column], rows: Iterable[FocusRow]) -> int:
    """Write rows as CSV, every decimal to its last digit; returns how many there were.

    Decimals always have a point: of `60` and `0` a reader that guesses would make integers. Text
    that a spreadsheet would take for a formula is quoted.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    count = 0
    for row in rows:
        writer.writerow(_cell(row.get(column.name)) for column in columns)
        count += 1
    return count


def _cell(value: Decimal | datetime | str | int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        digits = format_decimal(value)
        return digits if "." in digits else f"{digits}.0"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return inert(value) if isinstance(value, str) else str(value)


def write_parquet(
    out: IO[bytes],
    columns: Sequence[Column],
    rows: Iterable[FocusRow],
    metadata: Mapping[str, str],
) -> int:
    """Write rows as Parquet, a row group at a time; returns how many there were.

    Decimals are decimal128(38, 18), stamps microseconds in UTC. `metadata` is the file's own.

    Raises:
        ExportError: pyarrow is not installed, or a value has more digits than decimal128 holds.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ExportError(
            "Parquet needs pyarrow, which is not installed: pip install 'tallyroom[parquet]', or"
            " write CSV"
        ) from None
    types = {
        ColumnType.STRING: pyarrow.string(),
        ColumnType.JSON: pyarrow.string(),
        ColumnType.DECIMAL: pyarrow.decimal128(_DIGITS, _DECIMALS),
        ColumnType.DATE_TIME: pyarrow.timestamp("us", tz="UTC"),
        ColumnType.INTEGER: pyarrow.int64(),
    }
    fields = [pyarrow.field(column.name, types[column.type]) for column in columns]
    schema = pyarrow.schema(fields, metadata=dict(metadata))
    count = 0
    waiting = iter(rows)
    with parquet.ParquetWriter(out, schema) as writer:
        while some := list(itertools.islice(waiting, ROWS_AT_ONCE)):
            arrays = [_array(pyarrow, field, some) for field in fields]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            count += len(some)
    return count


def _array(pyarrow: Any, field: Any, rows: Sequence[FocusRow]) -> Any:
    values = [row.get(field.name) for row in rows]
    try:
        return pyarrow.array(values, field.type)
    except pyarrow.ArrowInvalid as error:
        raise ExportError(
            f"{field.name} has more digits than Parquet's decimal128({_DIGITS}, {_DECIMALS}) holds"
            f" ({error}); write CSV, which has all of them"
        ) from error


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that stands at its path once all of it is written, and not before.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            # As any new file of this person's, which one made by mkstemp is not.
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            Path(name).replace(path)
        except OSError as error:
            raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
