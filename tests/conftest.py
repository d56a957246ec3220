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
_TOGETHER = {"examples": "metering", "metering": "metering"}
"""Whose tests share a server where several run at once; all others share another."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_TESTS):
            kind, folder = item.path.relative_to(_TESTS).parts[:2]
            if kind in _KINDS:
                item.add_marker(kind)
            if kind == "e2e":
                item.add_marker(pytest.mark.xdist_group(_TOGETHER.get(folder, "meetings")))
