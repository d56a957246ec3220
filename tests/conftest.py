"""A test's folder says what it needs; the markers follow from it, so that none is forgotten."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

# How long an example takes says more of what else the machine does than of what is tested.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_TESTS = Path(__file__).resolve().parent
_KINDS = ("unit", "protocol", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_TESTS):
            kind = item.path.relative_to(_TESTS).parts[0]
            if kind in _KINDS:
                item.add_marker(kind)
