"""A line of one place, so that it is known who stands in whose way."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from metering.line import Turn

LONG_SECONDS = 60.0


@pytest.fixture(autouse=True)
def one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def ours(turn: Turn) -> bool:
    return turn.is_ours


def test_the_first_need_not_wait(tmp_path: Path) -> None:
    first, second = Turn(tmp_path), Turn(tmp_path)
    assert (first.is_ours, second.is_ours) == (True, False)
    first.wait(LONG_SECONDS)
    first.give_up()
    second.give_up()


def test_the_next_is_called(tmp_path: Path) -> None:
    first, second = Turn(tmp_path), Turn(tmp_path)
    waiting = threading.Thread(target=second.wait, args=[LONG_SECONDS])
    waiting.start()
    first.give_up()
    waiting.join(LONG_SECONDS)
    assert ours(second)
    third = Turn(tmp_path)
    assert not ours(third)
    second.give_up()
    third.wait(LONG_SECONDS)
    assert ours(third)
    third.give_up()


def test_who_has_waited_long_enough_goes_on_and_is_in_nobodys_way(tmp_path: Path) -> None:
    first, second = Turn(tmp_path), Turn(tmp_path)
    second.wait(0.01)
    assert not ours(second)
    second.give_up()
    first.give_up()
    third = Turn(tmp_path)
    third.wait(LONG_SECONDS)
    assert ours(third)
    third.give_up()


def test_where_there_can_be_no_line_nobody_waits(tmp_path: Path) -> None:
    nowhere = Turn(tmp_path / "none")
    nowhere.wait(LONG_SECONDS)
    assert not ours(nowhere)
    nowhere.give_up()
