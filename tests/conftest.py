"""A test's folder says what it needs; the markers follow from it, so that none is forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says more of what else the machine does than of what is tested.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_TESTS = Path(__file__).resolve().parent
_KINDS = ("unit", "protocol", "e2e")
_BESIDE_THE_OTHER_MEETINGS = frozenset(
    {"examples", "metering", "test_demo.py", "test_dispatch.py", "test_in_a_browser.py"}
)
"""Folders and files of about half of the meetings' time: two are held at once, and no third."""
_STANDS_BACK = 5

_has_begun = False


# First: pytest-xdist has put the groups into the tests' ids by the time that others are asked.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_TESTS):
            parts = item.path.relative_to(_TESTS).parts
            if parts[0] in _KINDS:
                item.add_marker(parts[0])
            if parts[0] == "e2e":
                group = "meetings" if _BESIDE_THE_OTHER_MEETINGS.isdisjoint(parts) else "others"
                item.add_marker(pytest.mark.xdist_group(group))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where several run at once, who begins with no meeting lets the meetings go first."""
    global _has_begun
    if not _has_begun and "PYTEST_XDIST_WORKER" in os.environ and "e2e" not in item.keywords:
        os.nice(_STANDS_BACK)
    _has_begun = True
