from __future__ import annotations

import pytest

from agent.listening.recognisers import (
    FIRST_REST_SECONDS,
    LONGEST_REST_SECONDS,
    Recogniser,
    Recognisers,
)
from tests.unit.agent.scripted import ScriptedSTT


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_the_first_is_wanted_and_the_next_stands_in(clock: Clock) -> None:
    first, second = Recogniser(ScriptedSTT()), Recogniser(ScriptedSTT())
    both = Recognisers([first, second], clock=clock)
    assert both.choose() is first
    both.failed(first)
    assert both.choose() is second
    clock.time += FIRST_REST_SECONDS
    assert both.choose() is first


async def test_the_rest_grows_until_it_works(clock: Clock) -> None:
    first, second = Recogniser(ScriptedSTT()), Recogniser(ScriptedSTT())
    both = Recognisers([first, second], clock=clock)
    rests = []
    for _ in range(8):
        both.failed(first)
        rests.append(first.circuit.rests(clock.time))
    assert rests == [5.0, 10.0, 20.0, 40.0, 80.0, LONGEST_REST_SECONDS] + [LONGEST_REST_SECONDS] * 2
    both.worked(first)
    assert both.choose() is first
    both.failed(first)
    assert first.circuit.rests(clock.time) == FIRST_REST_SECONDS


async def test_where_all_have_failed_the_one_that_may_be_back_first_is_tried(clock: Clock) -> None:
    first, second = Recogniser(ScriptedSTT()), Recogniser(ScriptedSTT())
    both = Recognisers([first, second], clock=clock)
    both.failed(first)
    both.failed(first)
    both.failed(second)
    assert both.choose() is second
