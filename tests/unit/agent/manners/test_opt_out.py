"""Who must not be heard."""

from __future__ import annotations

import pytest

from agent.manners.opt_out import OPT_OUT_ATTRIBUTE, has_opted_out


@pytest.mark.parametrize("value", ["true", "TRUE", "1", "yes", " on ", "please"])
def test_whatever_is_not_plainly_a_no_is_a_yes(value: str) -> None:
    assert has_opted_out("alice", {OPT_OUT_ATTRIBUTE: value})


@pytest.mark.parametrize("value", ["", "false", "False", "0", "no", "off", "  "])
def test_a_no_is_a_no(value: str) -> None:
    assert not has_opted_out("alice", {OPT_OUT_ATTRIBUTE: value})


def test_the_dispatch_can_say_it_for_somebody_and_they_cannot_take_it_back() -> None:
    assert has_opted_out("alice", {OPT_OUT_ATTRIBUTE: "false"}, ["alice"])
    assert not has_opted_out("bob", {}, ["alice"])
