from __future__ import annotations

import asyncio

import pytest

from metering.meters.attribution import Attribution, attribution, current_attribution


def test_nobody_in_particular() -> None:
    assert current_attribution() == Attribution(participant=None, purpose="")


def test_what_is_not_given_is_kept_from_outside() -> None:
    with attribution(participant="alice", purpose="captions"):
        with attribution(purpose="notes"):
            assert current_attribution() == Attribution("alice", "notes")
        with attribution(participant="bob"):
            assert current_attribution() == Attribution("bob", "captions")
        assert current_attribution() == Attribution("alice", "captions")
    assert current_attribution() == Attribution()


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(ValueError, match="stop"), attribution(participant="alice"):
        raise ValueError("stop")
    assert current_attribution() == Attribution()


async def test_tasks_carry_the_attribution_they_were_started_under() -> None:
    begun = asyncio.Event()

    async def later() -> Attribution:
        await begun.wait()
        return current_attribution()

    tasks = []
    for name in ("alice", "bob"):
        with attribution(participant=name, purpose="captions"):
            tasks.append(asyncio.create_task(later()))
    begun.set()
    assert await asyncio.gather(*tasks) == [
        Attribution("alice", "captions"),
        Attribution("bob", "captions"),
    ]
    assert current_attribution() == Attribution()
