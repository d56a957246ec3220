"""The rate card that is in force: the shipped catalog, and the owner's own prices over it.

The catalog is data, one file a provider, in the same form that an owner writes.
"""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path

from ..usage import core_meters
from .entries import Entries, read_entries
from .periods import check_periods
from .rate_card import RateCard
from .rate_file import RateTable, parse, read_file


def load_card(owner_file: Path | None = None) -> RateCard:
    """The catalog, with the owner's entries over it.

    Raises:
        RateError: the owner's file cannot be read or used; the message names file, line, entry and
            value.
    """
    if owner_file is None:
        return load_catalog()
    catalog = _catalog_entries()
    known = {**core_meters(), **catalog.meters}
    owner = read_entries(read_file(owner_file), known, layer=1, plans=_catalog_plans())
    return RateCard(
        rates=(*catalog.rates, *owner.rates),
        unpriced=(*catalog.unpriced, *owner.unpriced),
        models=(*owner.models, *catalog.models),
        extra_meters=[*catalog.meters.values(), *owner.meters.values()],
    )


@functools.cache
def load_catalog() -> RateCard:
    """The shipped rates alone."""
    catalog = _catalog_entries()
    return RateCard(
        rates=tuple(catalog.rates),
        unpriced=tuple(catalog.unpriced),
        models=tuple(catalog.models),
        extra_meters=list(catalog.meters.values()),
    )


@functools.cache
def catalog_tables() -> tuple[dict[str, list[RateTable]], ...]:
    """The files of the shipped catalog, read but not yet checked, in the order of their names."""
    folder = resources.files(__package__).joinpath("catalog")
    files = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".toml")),
        key=lambda item: item.name,
    )
    return tuple(parse(item.read_text("utf-8"), f"catalog/{item.name}") for item in files)


@functools.cache
def _catalog_entries() -> Entries:
    all_entries = Entries()
    for tables in catalog_tables():
        known = {**core_meters(), **all_entries.meters}
        entries = read_entries(tables, known, layer=0, plans=_catalog_plans())
        all_entries.rates += entries.rates
        all_entries.unpriced += entries.unpriced
        all_entries.models += entries.models
        all_entries.meters |= entries.meters
    check_periods([*all_entries.rates, *all_entries.unpriced])
    return all_entries


@functools.cache
def _catalog_plans() -> frozenset[str]:
    return frozenset(
        str(table.take("id")) for tables in catalog_tables() for table in tables["plan"]
    )
