"""A backlog that is longer than a provider takes in one go: heard in parts, a stream each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.listening.recognisers import StreamTraits
from agent.segments import Gap
from tests.open_gate import OpenGate
from tests.unit.agent.listening.hearing import SOON, Hear


async def test_of_a_long_backlog_each_stream_hears_what_it_takes_at_once(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=StreamTraits(lead=3.0), on_gap=gaps.append)
    hearing.engine.refusals.append(RuntimeError("not yet"))
    hearing.engine.last_words = "and so on"
    hearing.speak(1, 2)
    hearing.time += 60.0
    hearing.speak(3, 4, 5, 6, 7)
    first = await hearing.engine.next_stream()
    # A pause is where nobody is cut in two.
    await first.heard(1, 2)
    hearing.speak(8)
    second = await hearing.engine.next_stream()
    await second.heard(3, 4, 5)
    third = await hearing.engine.next_stream()
    await third.heard(6, 7, 8)
    hearing.speak(9)
    await third.heard(6, 7, 8, 9)
    hearing.listener.end()
    await hearing.over()
    assert gaps == []
    assert len(hearing.engine.opened_at) == 4


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("gate", [None, OpenGate()])
async def test_a_part_without_words_is_heard_twice(
    hear: Hear, gate: OpenGate | None, hangs: bool
) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=replace(SOON, lead=2.0), gate=gate, on_gap=gaps.append)
    hearing.engine.refusals.append(RuntimeError("not yet"))
    hearing.engine.hanging = 2 * hangs
    hearing.speak(1, 2, 3)
    for _ in range(2):
        await (await hearing.engine.next_stream()).heard(1, 2)
    await (await hearing.engine.next_stream()).heard(3)
    hearing.listener.end()
    await hearing.over()
    # A gate knows that there was speech in it.
    assert len(gaps) == (2 if hangs and gate else 0)
