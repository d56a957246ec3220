"""Our own voice in somebody's microphone is ours; what they say themselves is theirs."""

from __future__ import annotations

import pytest

from agent.answers.echo import Echo

OURS = "Bob decided that the budget for the oven is forty thousand euros."


@pytest.fixture
def echo() -> Echo:
    echo = Echo()
    echo.began(OURS, 100.0)
    echo.ended(105.0)
    return echo


@pytest.mark.parametrize(
    "text",
    [OURS, "decided that the budget for the oven", "bob decided that, the BUDGET for the often is"],
)
def test_our_words_while_we_said_them(echo: Echo, text: str) -> None:
    assert echo.is_echo(text, 100.2, 105.5)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        (OURS, 90.0, 95.0),
        (OURS, 107.0, 109.0),
        (OURS, 99.0, 104.0),
        ("Bob decided", 101.0, 102.0),
        ("No, that is wrong, the budget is thirty thousand.", 101.0, 104.0),
        ("Forty is the bob for that oven.", 101.0, 104.0),
    ],
)
def test_words_of_their_own(echo: Echo, text: str, start: float, end: float) -> None:
    assert not echo.is_echo(text, start, end)


def test_as_long_as_we_speak() -> None:
    echo = Echo()
    echo.began(OURS, 100.0)
    assert echo.is_echo(OURS, 101.0, 160.0)
