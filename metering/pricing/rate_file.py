"""Rate files as TOML tables that know where they stand, so that an error can name the line.

`tomllib` keeps no positions; the line of an entry is found by counting its `[[...]]` headers in
the text. A wrong price costs money silently, so every table is read strictly: a key that nobody
asked for is an error, not a shrug.
"""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ..errors import RateError

KINDS = (
    "rate",
    "not_billed",
    "unrated",
    "model",
    "meter",
    "plan",
    "customer",
    "sold_as",
    "markup",
    "credit",
    "prepaid",
    "subscription",
)
_SINGLE = ("defaults", "snapshot")
_TOO_MUCH = Decimal(10**15)
_MOST_DECIMALS = 30
_ABOUT = ("provider", "model", "meter", "name", "id", "tenant")
_DEFAULTABLE = (
    "provider",
    "model",
    "plan",
    "hosting",
    "currency",
    "basis",
    "effective_from",
    "effective_until",
    "source",
    "checked",
)


class RateTable:
    """One entry of a rate file, read key by key.

    Every `take_*` marks its key as known and raises RateError, with file, line, entry and value,
    where the value is of another kind; `finish` refuses the keys that nobody took.
    """

    def __init__(
        self,
        file: str,
        kind: str,
        number: int,
        values: Mapping[str, Any],
        defaults: Mapping[str, Any],
        lines: tuple[int, list[str]],
        snapshot: str = "",
    ) -> None:
        self.file = file
        self.kind = kind
        self.number = number
        self.snapshot = snapshot
        self._values = dict(values)
        self._defaults = defaults
        self._first_line, self._lines = lines
        self._known: list[str] = []
        self._inside = ""
        self._parent_key = ""

    @property
    def label(self) -> str:
        """The entry, as an error names it: kind, number in its file, and what it is about."""
        if self._inside:
            return self._inside
        about = [self._values.get(key) for key in _ABOUT]
        words = " ".join(word for word in about if isinstance(word, str) and word)
        return f"[[{self.kind}]] {self.number}" + (f" ({words})" if words else "")

    @property
    def place(self) -> str:
        """File, line and entry."""
        return self._place(None)

    def _place(self, key: str | None) -> str:
        line = self._line_of(key)
        where = f"{self.file}:{line}" if line else self.file
        return f"{where}: {self.label}"

    def _line_of(self, key: str | None) -> int:
        key = self._parent_key or key
        if key is not None:
            name = rf"""["']?{re.escape(key)}["']?\s*[=.]"""
            # A key of the entry itself before the same key of a table inside it.
            for pattern in (rf"^\s*{name}", rf"""(?:^|[\s;,{{"']){name}"""):
                for offset, text in enumerate(self._lines):
                    if re.search(pattern, text):
                        return self._first_line + offset
        return self._first_line

    def error(self, message: str, key: str | None = None) -> RateError:
        """An error about this entry, at the line of `key` where it can be found."""
        return RateError(f"{self._place(key)}: {message}")

    def take(self, key: str) -> Any:
        """The raw value, or the file's default, or None."""
        self._known.append(key)
        return self._values.get(key, self._defaults.get(key))

    def take_str(self, key: str, default: str | None = None) -> str:
        """A text; without a default it must be there and not be empty."""
        value = self.take(key)
        if value is None:
            if default is None:
                raise self.error(f"{key} is missing")
            return default
        if not isinstance(value, str):
            raise self.error(f'{key} {value!r} must be a text in quotes, as "..."', key)
        if default is None and not value:
            raise self.error(f"{key} is empty", key)
        return value

    def take_optional_str(self, key: str) -> str | None:
        """A text, or None where it is missing."""
        return self.take_str(key, "") or None

    def take_amount(self, key: str) -> Decimal:
        """A decimal in quotes, finite and not negative; numbers are refused, TOML's are floats."""
        value = self.take(key)
        if value is None:
            raise self.error(f"{key} is missing")
        if not isinstance(value, str):
            shown = str(value).lower() if isinstance(value, bool) else value
            raise self.error(
                f'{key} {shown} must be a decimal in quotes, as {key} = "0.0043"; '
                "a bare number would be a float",
                key,
            )
        try:
            amount = Decimal(value)
        except InvalidOperation:
            raise self.error(f"{key} {value!r} is not a decimal number", key) from None
        if not amount.is_finite():
            raise self.error(f"{key} {value!r} must be finite", key)
        if amount < 0:
            raise self.error(f"{key} {value!r} must not be negative", key)
        exponent = amount.as_tuple().exponent
        if amount >= _TOO_MUCH or (isinstance(exponent, int) and exponent < -_MOST_DECIMALS):
            raise self.error(
                f"{key} {value!r} must be below {_TOO_MUCH} and have at most "
                f"{_MOST_DECIMALS} decimals",
                key,
            )
        return abs(amount)

    def take_date(self, key: str) -> date | None:
        """A date, as TOML has them or in quotes; None where it is missing."""
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if isinstance(value, str):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        raise self.error(f"{key} {value} must be a date, as {key} = 2026-06-02", key)

    def take_period(self) -> tuple[date | None, date | None]:
        """`effective_from` and `effective_until`, the second not included; None is unbounded."""
        start, end = self.take_date("effective_from"), self.take_date("effective_until")
        if start and end and end <= start:
            raise self.error(
                f"effective_until {end} must be after effective_from {start}", "effective_until"
            )
        return start, end

    def take_bool(self, key: str) -> bool:
        """true or false; false where it is missing."""
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(f"{key} {value!r} must be true or false", key)
        return bool(value)

    def take_count(self, key: str) -> int | None:
        """A whole number that is not negative; None where it is missing."""
        value = self.take(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.error(f"{key} {value!r} must be a whole number", key)
        if value is not None and value < 0:
            raise self.error(f"{key} {value} must not be negative", key)
        return value

    def take_texts(self, key: str) -> dict[str, str]:
        """A table of texts, empty where it is missing."""
        value = self.take(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(f'{key} {value!r} must be a table, as {{ language = "multi" }}', key)
        for name, text in value.items():
            if not isinstance(text, str):
                raise self.error(f"{key}.{name} {text!r} must be a text in quotes", key)
        return value

    def take_names(self, key: str) -> list[str]:
        """A list of texts, empty where it is missing."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(f'{key} {value!r} must be a list of texts, as ["..."]', key)
        return value

    def take_tables(self, key: str) -> list[dict[str, Any]]:
        """A list of tables, empty where it is missing."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(f"{key} {value!r} must be a list of tables, as [{{ ... }}]", key)
        return value

    def nested(self, key: str, values: Mapping[str, Any]) -> RateTable:
        """A table inside this entry, read as strictly as the entry itself."""
        lines = (self._first_line, self._lines)
        inner = RateTable(self.file, self.kind, self.number, values, {}, lines)
        inner._inside = f"{self.label} {key}"
        inner._parent_key = key
        return inner

    def finish(self) -> None:
        """Refuse what nobody took.

        Raises:
            RateError: an unknown key, with the nearest known one.
        """
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                known = ", ".join(sorted(self._known))
                raise self.error(f"unknown key {key!r}{hint}; known are {known}", key)


def read_file(path: Path) -> dict[str, list[RateTable]]:
    """The entries of a rate file by kind.

    Raises:
        RateError: the file cannot be read, is no TOML, or holds something that is no entry.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise RateError(f"{path}: no such rate file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RateError(f"{path}: the rate file cannot be read: {reason}") from error
    return parse(text, str(path))


def parse(text: str, file: str) -> dict[str, list[RateTable]]:
    """`read_file`, for a text that has been read already."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        where = f"{file}:{found.group(1)}" if found else file
        raise RateError(f"{where}: not valid TOML: {error}") from None
    for key, value in content.items():
        if key not in KINDS and key not in _SINGLE:
            near = difflib.get_close_matches(key, KINDS, 1)
            hint = f" (did you mean [[{near[0]}]]?)" if near else ""
            known = ", ".join(f"[[{kind}]]" for kind in KINDS)
            where = f"{file}:{_line_containing(text, key)}"
            raise RateError(f"{where}: unknown section {key!r}{hint}; known are {known}")
        if key in KINDS and not (
            isinstance(value, list) and all(isinstance(item, dict) for item in value)
        ):
            where = f"{file}:{_line_containing(text, key)}"
            raise RateError(f"{where}: write [[{key}]] with two brackets: there can be several")
    defaults = _defaults(content, text, file)
    snapshot = _snapshot(content, text, file)
    lines = text.splitlines()
    tables: dict[str, list[RateTable]] = {}
    for kind in KINDS:
        blocks = _blocks(lines, kind)
        tables[kind] = [
            RateTable(
                file,
                kind,
                number,
                values,
                defaults,
                blocks[number - 1] if number <= len(blocks) else (0, []),
                snapshot,
            )
            for number, values in enumerate(content.get(kind, []), start=1)
        ]
    return tables


def _defaults(content: Mapping[str, Any], text: str, file: str) -> Mapping[str, Any]:
    defaults = content.get("defaults", {})
    where = f"{file}:{_line_containing(text, 'defaults')}"
    if not isinstance(defaults, dict):
        raise RateError(f"{where}: write [defaults] with one bracket: there is one a file")
    for key in defaults:
        if key not in _DEFAULTABLE:
            where = f"{file}:{_line_containing(text, key)}"
            known = ", ".join(_DEFAULTABLE)
            raise RateError(f"{where}: [defaults] cannot set {key!r}; it can set {known}")
    return defaults


def _snapshot(content: Mapping[str, Any], text: str, file: str) -> str:
    """The package and version that a file was compiled from, as package-version; "" for none."""
    snapshot = content.get("snapshot")
    if snapshot is None:
        return ""
    where = f"{file}:{_line_containing(text, 'snapshot')}"
    if not isinstance(snapshot, dict) or snapshot.keys() != {"package", "version"}:
        raise RateError(f'{where}: [snapshot] must say package = "..." and version = "..."')
    for key, value in snapshot.items():
        if not isinstance(value, str) or not value:
            raise RateError(f"{where}: [snapshot] {key} {value!r} must be a text in quotes")
    return f"{snapshot['package']}-{snapshot['version']}"


def _blocks(lines: list[str], kind: str) -> list[tuple[int, list[str]]]:
    """First line number and lines of every `[[kind]]`."""
    header = re.compile(r"^\s*\[")
    own = re.compile(rf"^\s*\[\[\s*\"?{kind}\"?\s*\]\]")
    heads = [number for number, line in enumerate(lines) if header.match(line)] + [len(lines)]
    return [
        (head + 1, lines[head:following])
        for head, following in itertools.pairwise(heads)
        if own.match(lines[head])
    ]


def _line_containing(text: str, word: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        if word in line:
            return number
    return 1
